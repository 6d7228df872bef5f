"""Kept slates: whatever happens, what is served is what would be answered anew."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serve.conftest import Caller, calling, until

from twofold.core import Event, Pipeline, Query, Slate
from twofold.core.ladder import Setting
from twofold.core.slate import Pick
from twofold.events import SqlStore
from twofold.flows import default_recipe
from twofold.serve.kept import KeptSlates
from twofold.serve.live import Stamp
from twofold.serve.promotion import promote
from twofold.serve.settings import Settings

NOW = Stamp(0, 0, 0)


def slate_of(*items: str) -> Slate:
    return Slate(picks=tuple(Pick(item=item, title="", score=0, sources={}, reason="") for item in items), id="")


def hits(call: Caller) -> int:
    text = call("GET", "/metrics").text
    found = [line for line in text.splitlines() if line.startswith('twofold_question_slates_total{cache="hit"}')]
    return int(float(found[0].split()[-1])) if found else 0


def test_the_same_question_gets_the_same_slate_under_another_id(call: Caller) -> None:
    first, second = (call.post("/recommend", user="user-0001", show=["title"])["slate"] for _ in range(2))
    assert first["picks"] == second["picks"]
    assert first["attributes"] == second["attributes"] != []
    assert first["id"] != second["id"]
    assert (first["milliseconds"] != {}, second["milliseconds"]) == (True, {})
    call.post("/recommend", user="user-0001", priority="interactive", deadline_ms=500)
    assert hits(call) == 2


def test_what_differs_in_anything_is_another_question(call: Caller) -> None:
    base: dict[str, Any] = {"user": "user-0001"}
    others: list[dict[str, Any]] = [
        {},
        {"k": 5},
        {"user": "user-0002"},
        {"exclude": ["item-00001"]},
        {"history": ["item-00001"]},
        {"diversity": 0.3},
        {"repeat": True},
        {"filters": {"title": "nothing"}},
    ]
    for other in others:
        call.post("/recommend", **(base | other))
    assert hits(call) == 0


def test_a_slate_stands_until_its_user_does_something(call: Caller) -> None:
    before = call.picks("/recommend", user="user-0001")
    call.post("/events", kind="click", user="user-0002", item=before[0])
    assert call.picks("/recommend", user="user-0001") == before
    assert hits(call) == 1
    call.post("/events", kind="impression", user="user-0001", item=before[0])
    assert call.picks("/recommend", user="user-0001") == before
    assert hits(call) == 2
    call.post("/events", kind="click", user="user-0001", item=before[0])
    assert before[0] not in call.picks("/recommend", user="user-0001")
    assert hits(call) == 2


def test_a_user_who_is_forgotten_is_answered_anew(call: Caller) -> None:
    before = call.picks("/recommend", user="user-0001")
    assert call("DELETE", "/users/user-0001").status_code == 200
    assert call.picks("/recommend", user="user-0001") == call.picks("/trending") != before


def test_none_are_kept_where_none_shall_be(settings: Settings) -> None:
    with calling(replace(settings, slates_mb=0)) as call:
        assert call.picks("/trending") == call.picks("/trending")
        assert hits(call) == 0


@pytest.mark.parametrize("trending", [0.0, 0.5])
def test_what_is_served_is_what_would_be_answered_anew(fitted: Pipeline, tmp_path: Path, trending: float) -> None:
    recipe = default_recipe()
    weights = replace(recipe.evidence, history={**recipe.evidence.history, "trending": trending})
    Pipeline(replace(recipe, evidence=weights, tune={})).fit(fitted.dataset, rng=0).save(tmp_path / "artifact")
    users = [f"user-{number:04d}" for number in range(4)] + ["new", None]
    items = [f"item-{number:05d}" for number in range(12)] + ["fresh"]
    titles = fitted.dataset.items["title"].to_list()
    rng = np.random.default_rng(3)

    def one(of: list[Any]) -> Any:
        return of[int(rng.integers(len(of)))]

    def query() -> Query:
        user, more = one(users), {"diversity": one([0.0, 0.0, 0.4]), "k": one([5, 60])}
        asked: list[dict[str, Any]] = [
            {"user": user},
            {"user": user, "history": [one(items[:2])]},
            {"text": one(titles[:3]), "user": user, "repeat": True},
            {"items": [one(items[:2])], "repeat": True},
            {},
        ]
        return Query(**one(asked), **more)

    def event() -> Event | None:
        kinds = ["click", "dislike", "dismiss", "impression", "item", "item-removed", "user-removed"]
        kind, item, user = one([*kinds[:4] * 4, *kinds]), one(items), one(users)
        if kind == "user-removed":
            return None if user is None else Event(kind=kind, user=user)
        if kind in ("item", "item-removed"):
            title = {"attributes": {"title": one(titles)}} if kind == "item" else {}
            return Event(kind=kind, item=item, **title)
        return Event(kind=kind, item=item, user=user)

    with calling(Settings(artifact=tmp_path / "artifact", events=tmp_path / "events.db")) as call:

        async def go() -> None:
            for _ in range(300):
                for asked in [query() for _ in range(5)]:
                    found = call.server.find(asked) or await call.server.ask(asked)
                    anew = call.server.live.pipeline.run(asked)
                    assert [(pick.item, pick.score, pick.reason) for pick in found.picks] == [
                        (pick.item, pick.score, pick.reason) for pick in anew.picks
                    ]
                if (told := event()) is not None:
                    await call.server.record([told])
                    call.server.live.put_items()

        call.run(go())
        assert hits(call) > 80


def test_what_another_worker_stored_counts_too(call: Caller, settings: Settings) -> None:
    before = call.picks("/recommend", user="user-0001")
    store = SqlStore(settings.events)
    store.append([Event(kind="item-removed", item=before[0])])
    store.close()
    assert until(lambda: before[0] not in call.picks("/recommend", user="user-0001"))


def test_another_artifact_answers_anew(artifact: Path, fitted: Pipeline, tmp_path: Path) -> None:
    fitted.save(tmp_path / "other")
    (tmp_path / "one").symlink_to(artifact)
    link = tmp_path / "current"
    promote(tmp_path / "one", link)
    with calling(Settings(artifact=link, events=tmp_path / "events.db")) as call:
        call.post("/recommend", user="user-0001")
        live = call.server.live
        promote(tmp_path / "other", link)
        assert until(lambda: call.server.live is not live)
        call.post("/recommend", user="user-0001")
        assert hits(call) == 0


def test_a_slate_comes_back_as_it_was(fitted: Pipeline) -> None:
    query = Query(text=fitted.dataset.items["title"][0], k=3)
    slate = replace(fitted.run(query), rung="a", settings={"stage": Setting(rung="b", depth=3)})
    kept = KeptSlates(100_000)
    kept.put(query, NOW, 1, slate, heeds=True)
    assert kept.find(query, NOW, 1) == slate
    assert isinstance(slate.picks[0].item, str)
    numbers = slate_of(5, "5")  # type: ignore[arg-type]
    kept.put(query, NOW, 1, numbers, heeds=True)
    assert kept.find(query, NOW, 1) == numbers


def test_what_a_worse_step_made_does_not_outlast_its_turn() -> None:
    kept, query = KeptSlates(10_000), Query(text="a")
    kept.put(query, NOW, 0.8, slate_of("a"), heeds=False)
    assert kept.find(query, NOW, 0.8) == slate_of("a")
    assert kept.find(query, NOW, 0.7) == slate_of("a")
    assert kept.find(query, NOW, 1.0) is None


def test_slates_that_were_not_asked_for_longest_make_room() -> None:
    kept, queries = KeptSlates(3_000), [Query(text=text) for text in "abcdef"]
    for query in queries[:4]:
        kept.put(query, NOW, 1, slate_of("x"), heeds=True)
    assert kept.find(queries[0], NOW, 1) is not None
    assert len(kept) == 4
    kept.put(queries[4], NOW, 1, slate_of("y"), heeds=True)
    assert [kept.find(query, NOW, 1) is not None for query in queries[:5]] == [True, False, True, True, True]
    for _ in range(10):  # one that is kept anew takes no more room
        kept.put(queries[4], NOW, 1, slate_of("z"), heeds=True)
    assert len(kept) == 4
    kept.put(queries[5], NOW, 1, slate_of(*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), heeds=True)
    assert len(kept) == 0


def test_a_picture_is_not_kept() -> None:
    kept = KeptSlates(10_000)
    kept.put(Query(image=b"x"), NOW, 1, slate_of("a"), heeds=False)
    assert len(kept) == 0


def test_what_has_changed_is_dropped_and_makes_room() -> None:
    kept, alone, heeding, other = KeptSlates(10_000), Query(text="a"), Query(text="b"), Query(text="c")

    def put(stamp: Stamp) -> None:
        kept.put(alone, stamp, 1, slate_of("x"), heeds=False)
        kept.put(heeding, stamp, 1, slate_of("x"), heeds=True)

    put(NOW)
    assert kept.find(alone, Stamp(0, 1, 0), 1) is None  # the user did something
    assert kept.find(other, Stamp(0, 0, 1), 1) is None
    assert len(kept) == 1
    assert kept.find(alone, Stamp(0, 0, 1), 1) is not None
    put(NOW)  # made before, and told late
    assert [kept.find(query, Stamp(0, 0, 1), 1) is not None for query in (alone, heeding)] == [True, False]
    assert kept.find(other, Stamp(1, 0, 1), 1) is None
    assert len(kept) == 0
    put(NOW)
    assert len(kept) == 0
