"""Both clients, against a server on a real port."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serve.conftest import serving, until

import twofold
from twofold.core import Event, Pipeline, Query
from twofold.core.errors import TwofoldError
from twofold.serve.client import ApiError, AsyncClient, Client
from twofold.serve.settings import Settings


@pytest.fixture(scope="module")
def address(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(Settings(artifact=artifact, events=tmp_path_factory.mktemp("client") / "events.db")) as url:
        yield url


def test_the_package_offers_both_clients() -> None:
    assert (twofold.Client, twofold.AsyncClient) == (Client, AsyncClient)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = twofold.Nothing


def test_a_client_gets_slates_with_their_types(address: str, fitted: Pipeline) -> None:
    user, item = fitted.dataset.user_ids.ids[1], fitted.dataset.item_ids.ids[1]
    with Client(address) as client:
        slate = client.recommend(user, k=3)
        assert isinstance(slate, twofold.Slate)
        assert slate.items == fitted.run(Query(user=user, k=3)).items
        assert client.similar([item], k=3, exclude=[user]).items == fitted.run(Query(items=[item], k=3)).items
        assert len(client.trending(k=4, filters={"year": {"min": 0}})) == 4
        assert client.explain(slate.items[0], user=user).item == slate.items[0]
        assert client.health().items == len(fitted.dataset.items)


def test_a_client_reports_and_changes_what_there_is(address: str) -> None:
    with Client(address) as client:
        slate = client.recommend("new person", k=3)
        event = Event(kind="dislike", item=slate.items[0], user="new person", slate=slate.id)
        assert client.record(event, event) == [event.id, event.id]
        assert slate.items[0] not in client.recommend("new person").items
        assert client.user("new person").events == 1

        client.put_item("a/b ?&%", {"title": "Zyzzyva"})
        assert until(lambda: client.search("zyzzyva").items == ["a/b ?&%"])
        assert client.suggest("zyz") == ["Zyzzyva"]
        assert client.item("a/b ?&%").attributes["title"] == "Zyzzyva"
        client.put_item("a/b ?&%", {}, available=False)
        assert client.search("zyzzyva").items == []
        client.put_user("new person", {"country": "CN"})
        assert client.user("new person").attributes == {"country": "CN"}
        client.remove_user("new person")
        assert client.user("new person").events == 0
        client.remove_item("a/b ?&%")


def test_a_client_says_how_urgent_its_questions_are(address: str) -> None:
    with Client(address, priority="interactive", deadline_ms=30_000) as client:
        assert len(client.trending(k=3)) == 3
    with Client(address, deadline_ms=-1) as client, pytest.raises(ApiError, match="deadline_ms"):
        client.recommend("ann")

    async def ask() -> twofold.Slate:
        async with AsyncClient(address, priority="batch", deadline_ms=30_000) as client:
            return await client.search("a", k=3)

    assert asyncio.run(ask()).rung is None


def test_an_async_client_asks_many_things_at_once(address: str, fitted: Pipeline) -> None:
    users = fitted.dataset.user_ids.ids[2:12].to_list()

    async def ask() -> list[twofold.Slate]:
        async with AsyncClient(address) as client:
            await client.record(Event(kind="impression", item=1))
            return await asyncio.gather(*(client.recommend(user, k=3) for user in users))

    assert [slate.items for slate in asyncio.run(ask())] == [fitted.run(Query(user=u, k=3)).items for u in users]


def test_errors_say_what_the_server_said(address: str) -> None:
    with Client(address) as client, pytest.raises(ApiError, match="`int` <= 100") as error:
        client.trending(k=101)
    assert error.value.status == 422
    assert isinstance(error.value, TwofoldError)
    with Client("http://127.0.0.1:9") as client, pytest.raises(ApiError, match="does not answer") as nobody:
        client.health()
    assert nobody.value.status == 0
