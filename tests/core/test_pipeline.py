"""What a pipeline takes in while it answers: events, items that come and items that go."""

import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from twofold.core import Histories, Pipeline, Query, Recipe, Scores, Weights
from twofold.core.errors import LateError
from twofold.core.query import Batch, Evidence
from twofold.data import Simulation, simulate


@pytest.fixture(scope="module")
def fitted() -> Pipeline:
    dataset = simulate(Simulation(users=40, items=50, events=600, seed=7))[0]
    recipe = Recipe(
        name="small",
        retrieve={"popular": {"kind": "popularity"}, "knn": {"kind": "item-knn"}, "words": {"kind": "lexical"}},
        evidence=Weights(text={"words": 1.0}, items={"knn": 1.0}, history={"knn": 1.0}, nothing={"popular": 1.0}),
    )
    return Pipeline(recipe).fit(dataset, rng=0)


def test_a_fork_takes_in_what_the_first_does_not_notice(fitted: Pipeline) -> None:
    before = fitted.run(Query(k=3)).items
    last = len(fitted.dataset.items) - 1
    twin = fitted.fork()
    twin.put_items(pl.DataFrame({"item": ["new"], "title": ["Zyzzyva"]}))
    twin.observe(Histories.from_lists([[last] * 1_000]))
    assert twin.run(Query(text="zyzzyva")).items == ["new"]
    assert twin.run(Query(k=3)).items[0] == fitted.dataset.item_ids.decode([last])[0]
    assert fitted.run(Query(text="zyzzyva")).items == []
    assert fitted.run(Query(k=3)).items == before


def test_a_fork_links_copies_to_copies() -> None:
    dataset = simulate(Simulation(users=10, items=20, events=60, seed=1))[0]
    tables = {"words": {"kind": "lexical", "expansion": "more"}, "popular": {"kind": "popularity"}}
    recipe = Recipe(
        name="linked",
        expand={"more": {"kind": "asked"}},
        retrieve=tables,
        evidence=Weights(text={"words": 1.0}, nothing={"popular": 1.0}),
    )
    pipeline = Pipeline(recipe).fit(dataset, rng=0)
    twin = pipeline.fork()
    assert twin.retrievers["words"].linked["expansion"] is twin.expanders["more"]
    assert twin.expanders["more"] is not pipeline.expanders["more"]


def test_what_is_not_available_appears_on_no_path(fitted: Pipeline) -> None:
    pipeline = fitted.fork()
    first, title = pipeline.dataset.items["item"][0], pipeline.dataset.items["title"][0]
    seed = pipeline.dataset.items["item"][1]
    queries = [
        Query(k=50),
        Query(text=title, k=50),
        Query(items=[seed], k=50),
        Query(history=[seed], k=50, repeat=True),
    ]
    assert all(first in slate.items for slate in pipeline.run_many(queries))
    pipeline.available = np.arange(50) != 0
    assert not any(first in slate.items for slate in pipeline.run_many(queries))
    pipeline.put_items(pl.DataFrame({"item": ["new"], "title": ["Zyzzyva"]}))
    assert pipeline.run(Query(text="zyzzyva")).items == ["new"]


def test_activity_says_what_a_user_did(fitted: Pipeline) -> None:
    pipeline = fitted.fork()
    seen: list[tuple[object, int]] = []
    ids = pipeline.dataset.item_ids

    def activity(user: object, logged: Histories) -> Histories:
        seen.append((user, len(logged.items)))
        both = Histories.concatenate([logged, Histories.from_lists([ids.encode([ids.ids[3]]).tolist()])])
        return replace(both, indptr=both.indptr[[0, -1]])

    pipeline.activity = activity
    user = pipeline.dataset.user_ids.ids[0]
    slates = pipeline.run_many([Query(user=user, k=50), Query(user="nobody", k=50), Query(k=50)])
    assert [ids.ids[3] in slate.items for slate in slates] == [False, False, True]
    assert seen == [(user, int(pipeline.dataset.log.lengths[0])), ("nobody", 0)]


def test_no_stage_begins_when_it_is_too_late(fitted: Pipeline) -> None:
    queries = [Query(k=3), Query(text="a", k=3)]
    assert len(fitted.run_many(queries, until=time.monotonic() + 60)) == 2
    with pytest.raises(LateError, match="longer deadline"):
        fitted.run_many(queries, until=time.monotonic())


def test_what_takes_long_is_not_followed_by_another_stage(fitted: Pipeline) -> None:
    pipeline, until = fitted.fork(), time.monotonic() + 0.05
    words = pipeline.retrievers["words"]
    scored = words.score

    def slow(batch: Batch, evidence: Evidence) -> Scores:
        assert batch.until == until
        time.sleep(max(until - time.monotonic(), 0) + 0.01)
        return scored(batch, evidence)

    words.score = slow  # type: ignore[method-assign]
    with pytest.raises(LateError):
        pipeline.run_many([Query(text="a")], until=until)


def test_slates_heed_others_where_popularity_was_asked(fitted: Pipeline) -> None:
    user, seed = fitted.dataset.user_ids.ids[0], fitted.dataset.items["item"][1]
    asked = [
        (Query(user=user, k=5), False),
        (Query(items=[seed], k=5), False),
        (Query(user=user, k=50), True),  # filled up
        (Query(user=user, k=5, diversity=0.1), True),  # what was filled may have been passed over
        (Query(user="unknown"), True),
        (Query(), True),
        (Query(text="a"), True),
    ]
    assert [fitted.heeds(query, fitted.run(query)) for query, _ in asked] == [heeds for _, heeds in asked]


def test_a_stage_heeds_what_one_that_it_needs_does(fitted: Pipeline) -> None:
    popular, words = fitted.retrievers["popular"], fitted.fork().retrievers["words"]
    assert (popular.heeds, words.heeds) == (True, False)
    words.linked = {"expansion": popular}
    assert words.heeds
