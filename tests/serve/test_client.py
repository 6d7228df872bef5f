"""Both clients, against a server on a real port."""

import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.serve.conftest import serving, until

import twofold
from twofold.core import Event, Pipeline, Query
from twofold.core.errors import TwofoldError
from twofold.serve.calls import Tries, recommend
from twofold.serve.client import ApiError, AsyncClient, Client
from twofold.serve.operations import OPERATIONS
from twofold.serve.settings import Settings
from twofold.serve.wire import Arm


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


def test_a_client_asks_as_the_api_lets_it(address: str, fitted: Pipeline) -> None:
    user, item = fitted.dataset.user_ids.ids[1], fitted.dataset.item_ids.ids[1]
    with Client(address) as client:
        varied = client.trending(k=8, diversity=1.0, show=["categories", "year"])
        assert varied.items == fitted.run(Query(k=8, diversity=1.0)).items != client.trending(k=8).items
        years = dict(zip(fitted.dataset.items["item"], fitted.dataset.items["year"], strict=True))
        assert [row["year"] for row in varied.attributes] == [years[item] for item in varied.items]
        asked = Query(text="a", user=user, history=[item], k=4, diversity=0.5)
        assert client.search("a", user=user, history=[item], k=4, diversity=0.5, repeat=False).items == (
            fitted.run(asked).items
        )
        facets = client.facets(filters={"year": {"min": 2000}}, columns=["categories"], k=3)
        assert facets.matches == len(client.trending(k=100, filters={"year": {"min": 2000}}))
        assert [facet.column for facet in facets.facets] == ["categories"]
        assert {column.name for column in client.catalogue().columns} == set(fitted.dataset.items.columns)
        assert client.users(str(user)) == [user]
        assert client.ladder().rungs == []
        assert client.artifact().recipe["name"] == fitted.recipe.name
        assert client.artifacts().artifacts[0].artifact == client.health().artifact
        for change in (lambda: client.promote("nothing"), lambda: client.rollback("nothing")):
            with pytest.raises(ApiError, match="follows no link"):
                change()
        with pytest.raises(ApiError, match="unknown field `colour`"):
            client.trending(colour="red")  # type: ignore[call-arg]


def test_a_client_starts_watches_and_stops_experiments(address: str) -> None:
    arms = [Arm(name="plain", share=0.5), Arm(name="varied", share=0.5, diversity=1.0)]
    with Client(address) as client:
        started = client.start_experiment("of-a-client", arms)
        assert [row.arm for row in started.arms] == arms
        slates = [client.trending(session=f"s{number}") for number in range(20)]
        assert {slate.arms["of-a-client"] for slate in slates} == {"plain", "varied"}
        client.record(*(Event(kind="like", item=slate.items[0], slate=slate.id) for slate in slates))
        assert until(lambda: sum(row.positive for row in client.experiments()[0].arms) == 20)
        assert client.stop_experiment("of-a-client").stopped is not None
        assert client.trending(session="s1").arms == {}
        with pytest.raises(ApiError, match="no such experiment"):
            client.stop_experiment("a/b ?&%")


def test_both_clients_offer_all_that_the_api_does() -> None:
    def offered(client: type) -> dict[str, object]:
        public = (name for name in vars(client) if not name.startswith("_") and name not in ("close", "aclose"))
        return {name: inspect.signature(getattr(client, name)) for name in public}

    assert offered(Client) == offered(AsyncClient)
    play = Play(500, wait="")
    given = {"items": ["x"], "attributes": {}, "arms": [], "k": 1, "columns": []}
    with Client("http://played", transport=play) as client:
        for name, signature in offered(Client).items():
            needed = [one.name for one in signature.parameters.values() if one.default is one.empty][1:]  # type: ignore[attr-defined]
            wanted = [name for name in needed if name not in ("more", "events")]
            with pytest.raises(ApiError):
                getattr(client, name)(*(given.get(one, "x") for one in wanted))
    found = {(asked.method, re.sub("/x(?=/|$)", "/{}", asked.url.path)) for asked in play.asked}
    one_by_one = {("POST", "/events"), ("GET", "/ready")}  # batches and health say the same
    assert found == {(one.method, re.sub("{.*}", "{}", one.path)) for one in OPERATIONS} - one_by_one


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


HEALTH = {"status": "ok", "process": 1, "artifact": "a", "items": 1, "users": 1, "offset": 0, "behind": 0}
Outcome = int | type[httpx2.TransportError]


class Play(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers with one outcome after the other, the last one again and again."""

    def __init__(self, *outcomes: Outcome, wait: str = "0") -> None:
        self.outcomes, self.wait = list(outcomes), wait
        self.asked: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if not isinstance(outcome, int):
            raise outcome("as played")
        if outcome == 200:
            return httpx2.Response(200, json=HEALTH)
        problem = {"title": "no", "status": outcome, "detail": "as played"}
        return httpx2.Response(outcome, json=problem, headers={"Retry-After": self.wait} if self.wait else {})

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.handle_request(request)


def ask(play: Play, kind: str, **more: object) -> None:
    """Have one of the clients ask how the server is."""
    if kind == "Client":
        with Client("http://played", transport=play, **more) as client:
            client.health()
        return

    async def wait() -> None:
        async with AsyncClient("http://played", transport=play, **more) as client:
            await client.health()

    asyncio.run(wait())


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.parametrize(
    "first", [503, httpx2.ReadError, httpx2.WriteError, httpx2.ConnectError, httpx2.RemoteProtocolError]
)
def test_a_broken_connection_and_a_503_get_one_more_try(kind: str, first: Outcome) -> None:
    play = Play(first, 200)
    ask(play, kind)
    assert len(play.asked) == 2
    never = Play(first)
    with pytest.raises(ApiError, match="as played" if first == 503 else "does not answer"):
        ask(never, kind)
    assert len(never.asked) == 2
    without = Play(first, 200)
    with pytest.raises(ApiError):
        ask(without, kind, retry=False)
    assert len(without.asked) == 1


@pytest.mark.parametrize(
    ("first", "wait"), [(503, ""), (503, "11"), (429, "0"), (500, "0"), (422, "0"), (httpx2.ReadTimeout, "0")]
)
def test_what_another_try_cannot_mend_or_the_time_does_not_allow_is_not_tried_again(first: Outcome, wait: str) -> None:
    play = Play(first, 200, wait=wait)
    with pytest.raises(ApiError):
        ask(play, "Client", timeout=10)
    assert len(play.asked) == 1


def test_the_wait_and_the_second_try_have_what_is_left_of_the_deadline() -> None:
    now = 100.0
    tries = Tries(recommend("ann", deadline_ms=3_000.0), 10.0, clock=lambda: now)
    assert json.loads(tries.request()["content"])["deadline_ms"] == 3_000
    now = 101.0
    problem = httpx2.Response(503, headers={"Retry-After": "1"})
    assert tries.again(problem) == 1
    now = 102.0
    second = tries.request()
    assert (json.loads(second["content"]), second["timeout"]) == ({"user": "ann", "deadline_ms": 1_000}, 1)
    late = Tries(recommend("ann", deadline_ms=1_000.0), 10.0, clock=lambda: now)
    late.request()
    assert late.again(problem) is None  # the wait alone would take all of it
    patient = Tries(recommend("ann"), 10.0, clock=lambda: now)
    patient.request()
    assert patient.again(problem) == 1


def test_a_second_try_sends_the_same_events() -> None:
    play = Play(httpx2.ReadError, 422)
    with Client("http://played", transport=play) as client, pytest.raises(ApiError):
        client.record(Event(kind="click", item=1))
    assert play.asked[0].content == play.asked[1].content
    assert json.loads(play.asked[0].content)["events"][0]["id"]
