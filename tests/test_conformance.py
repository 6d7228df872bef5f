"""What every stage and every pipeline must do. Each installed kind of stage is found and put through it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_info

from twofold.core import Batch, Dataset, Histories, Pipeline, Query, Recipe, Retriever, Weights
from twofold.core.config import build, table
from twofold.core.errors import ConfigError, DataError
from twofold.core.stage import make_stage, stage_kinds
from twofold.data import Simulation, simulate
from twofold.flows import fit

NEEDY = {"dense"}
"""Retrievers that need another stage, which such a small catalogue has not; they are tried where they are tested."""
RETRIEVERS = sorted(
    kind for kind in stage_kinds() if issubclass(stage_kinds()[kind].load(), Retriever) and kind not in NEEDY
)
OPTIONS: dict[str, dict[str, Any]] = {
    "als": {"factors": 8, "threads": 1},
    "two-tower": {"width": 8, "length": 20, "training": {"epochs": 2, "threads": 1}},
    "sequential": {"width": 8, "length": 20, "training": {"epochs": 2, "threads": 1}},
}
"""Options that keep a kind small and repeatable; all others run with their defaults."""
TASTE = [kind for kind in RETRIEVERS if "history" in stage_kinds()[kind].load().evidence]
SEEDED = [kind for kind in RETRIEVERS if "items" in stage_kinds()[kind].load().evidence]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return simulate(Simulation(users=60, items=80, events=1_500, seed=7))[0]


def recipe_for(kind: str, **more: Any) -> Recipe:
    """One retriever of a kind for all evidence that it can answer, with popularity behind it."""
    retriever = {"kind": kind, **OPTIONS.get(kind, {})}
    answers = {evidence: {"it": 1.0} for evidence in stage_kinds()[kind].load().evidence}
    return Recipe(
        name=kind,
        retrieve={"it": retriever, "popular": {"kind": "popularity"}},
        evidence=build(Weights, {"nothing": {"popular": 1.0}, **answers}, "evidence"),
        **more,
    )


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> dict[str, Pipeline]:
    return {kind: Pipeline(recipe_for(kind)).fit(dataset, rng=3) for kind in RETRIEVERS}


@pytest.fixture(params=RETRIEVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pipeline(kind: str, fitted: dict[str, Pipeline]) -> Pipeline:
    return fitted[kind]


def queries(dataset: Dataset) -> list[Query]:
    items = dataset.item_ids.ids
    word = str(dataset.items["title"][0]).split()[0]
    return [
        Query(user=dataset.user_ids.ids[0], k=7),
        Query(history=[items[3], items[9]], k=7),
        Query(items=[items[5]], k=7),
        Query(text=word, k=7),
        Query(text=word, user=dataset.user_ids.ids[1], k=7),
        Query(items=[items[5]], user=dataset.user_ids.ids[1], k=7),
        Query(k=7),
    ]


@pytest.mark.parametrize("name", sorted(stage_kinds()))
def test_a_config_survives_the_round_trip(name: str) -> None:
    stage = make_stage({"kind": name}, "stage")
    if stage.config is None:
        pytest.skip("the stage has no options")
    assert build(type(stage.config), table(stage.config), "stage") == stage.config


@pytest.mark.parametrize("name", sorted(stage_kinds()))
def test_an_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        make_stage({"kind": name, "nonsense": 1}, "stage")


def test_a_new_process_gives_equal_slates(pipeline: Pipeline, dataset: Dataset, tmp_path: Path) -> None:
    pipeline.save(tmp_path / "artifact")
    program = (
        "import json, sys; from pathlib import Path; from twofold.core import Pipeline, Query\n"
        "pipeline = Pipeline.load(Path(sys.argv[1]))\n"
        "slates = pipeline.run_many([Query(**query) for query in json.loads(sys.argv[2])])\n"
        "print(json.dumps([[[p.item, p.score] for p in slate.picks] for slate in slates]))"
    )
    asked = [
        {"text": q.text, "user": q.user, "history": list(q.history), "items": list(q.items), "k": q.k}
        for q in queries(dataset)
    ]
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "artifact"), json.dumps(asked)],
        check=True,
        capture_output=True,
        text=True,
    )
    expected = [[[pick.item, pick.score] for pick in slate.picks] for slate in pipeline.run_many(queries(dataset))]
    found = json.loads(answer.stdout)
    assert [[item for item, _ in slate] for slate in found] == [[item for item, _ in slate] for slate in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose([score for _, score in one], [score for _, score in other], rtol=1e-5)


def test_a_batch_answers_as_single_queries_do(pipeline: Pipeline, dataset: Dataset) -> None:
    together = pipeline.run_many(queries(dataset))
    alone = [pipeline.run(query) for query in queries(dataset)]
    assert [slate.items for slate in together] == [slate.items for slate in alone]


def test_many_queries_are_answered_in_parts(
    pipeline: Pipeline, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [slate.items for slate in pipeline.run_many(queries(dataset))]
    monkeypatch.setattr("twofold.core.pipeline.TOGETHER", 2)
    assert [slate.items for slate in pipeline.run_many(queries(dataset))] == whole
    assert pipeline.run_many([]) == []


@pytest.mark.parametrize("name", TASTE)
def test_an_unknown_user_gets_k_items(name: str, fitted: dict[str, Pipeline]) -> None:
    slate = fitted[name].run(Query(user="nobody has this id", k=9))
    assert len(set(slate.items)) == 9
    assert slate.shortfall is None


@pytest.mark.parametrize("name", TASTE)
def test_a_new_user_is_answered_by_what_they_just_did(name: str, fitted: dict[str, Pipeline]) -> None:
    before = fitted[name].run(Query(k=9)).items
    after = fitted[name].run(Query(user="nobody has this id", history=[before[0]], k=9)).items
    assert len(set(after)) == 9
    assert before[0] not in after


def test_unknown_items_do_no_harm(pipeline: Pipeline, dataset: Dataset) -> None:
    known = dataset.item_ids.ids[3]
    plain = pipeline.run(Query(history=[known], items=[known], k=5))
    mixed = pipeline.run(Query(history=["no such item", known], items=[known, "no such item"], exclude=["none"], k=5))
    assert mixed.items == plain.items


@pytest.mark.parametrize("evidence", ["items", "history"])
def test_an_empty_history_is_no_opinion_or_one_for_all(pipeline: Pipeline, evidence: Any) -> None:
    retriever = pipeline.retrievers["it"]
    if evidence not in retriever.evidence:
        pytest.skip("the stage does not answer this evidence")
    items, scores = retriever.score(Batch.of_histories(Histories.empty(2)), evidence).top(5)
    assert (items[0] == items[1]).all()
    assert not np.isnan(scores).any()


def test_dislikes_alone_are_no_taste(pipeline: Pipeline) -> None:
    retriever = pipeline.retrievers["it"]
    if "history" not in retriever.evidence:
        pytest.skip("the stage does not answer histories")
    liked = Histories.from_lists([[4, 7]])
    disliked = Histories(indptr=liked.indptr, items=liked.items, values=-liked.values, timestamps=liked.timestamps)
    found = retriever.score(Batch.of_histories(disliked), "history").at(np.array([[4, 7, 9]], np.int32))
    empty = retriever.score(Batch.of_histories(Histories.empty(1)), "history").at(np.array([[4, 7, 9]], np.int32))
    np.testing.assert_array_equal(found, empty)


def test_a_user_who_has_seen_everything(pipeline: Pipeline, dataset: Dataset) -> None:
    everything = dataset.item_ids.ids.to_list()
    slate = pipeline.run(Query(history=everything, k=5))
    assert slate.items == []
    assert slate.shortfall == "no item left after filters, exclusions and what was seen"
    assert len(pipeline.run(Query(history=everything, k=5, repeat=True))) == 5


def test_k_beyond_the_catalogue(pipeline: Pipeline, dataset: Dataset) -> None:
    slate = pipeline.run(Query(k=1_000))
    assert sorted(slate.items) == sorted(dataset.item_ids.ids)
    assert slate.shortfall == "only 80 items left after filters, exclusions and what was seen"


def test_a_filter_that_leaves_nothing(pipeline: Pipeline, dataset: Dataset) -> None:
    for query in queries(dataset):
        slate = pipeline.run(
            Query(text=query.text, user=query.user, items=query.items, k=5, filters={"categories": "no such category"})
        )
        assert slate.items == []
        assert slate.shortfall is not None


def test_filters_and_exclusions_hold_on_every_path(pipeline: Pipeline, dataset: Dataset) -> None:
    category = dataset.items["categories"].explode().value_counts(sort=True)["categories"][0]
    allowed = set(dataset.items.filter(dataset.items["categories"].list.contains(category))["item"].to_list())
    banned = sorted(allowed)[:2]
    for query in queries(dataset):
        slate = pipeline.run(
            Query(
                text=query.text,
                user=query.user,
                history=query.history,
                items=query.items,
                k=50,
                filters={"categories": [category]},
                exclude=banned,
            )
        )
        assert set(slate.items) <= allowed - set(banned)


def test_k_items_although_most_of_the_best_are_filtered(pipeline: Pipeline, dataset: Dataset) -> None:
    best = pipeline.run(Query(user=dataset.user_ids.ids[0], k=10)).items
    slate = pipeline.run(Query(user=dataset.user_ids.ids[0], k=10, exclude=best[:8]))
    assert len(set(slate.items)) == 10
    assert not set(slate.items) & set(best[:8])
    assert len(pipeline.run(Query(user=dataset.user_ids.ids[0], k=3, exclude=best[:2]))) == 3


def test_an_unknown_filter_says_which_there_are(pipeline: Pipeline) -> None:
    with pytest.raises(DataError, match="categories"):
        pipeline.run(Query(filters={"colour": "red"}))


def test_one_seed_one_answer(kind: str, pipeline: Pipeline, dataset: Dataset) -> None:
    again = Pipeline(recipe_for(kind)).fit(dataset, rng=3)
    assert [slate.items for slate in again.run_many(queries(dataset))] == [
        slate.items for slate in pipeline.run_many(queries(dataset))
    ]


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_is_never_similar_to_itself(name: str, fitted: dict[str, Pipeline], dataset: Dataset) -> None:
    for item in dataset.item_ids.ids[:20]:
        assert item not in fitted[name].run(Query(items=[item], k=10)).items


def test_the_callers_thread_settings_stay(kind: str, dataset: Dataset) -> None:
    def threads() -> dict[str, int]:
        return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

    before = threads()
    fit(dataset, recipe_for(kind), rng=3, threads=1).run_many(queries(dataset))
    assert {path: count for path, count in threads().items() if path in before} == before


def test_the_library_prints_nothing(kind: str, dataset: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    Pipeline(recipe_for(kind)).fit(dataset, rng=3).run_many(queries(dataset))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", RETRIEVERS)
def test_items_can_be_added_and_described_anew(name: str, dataset: Dataset) -> None:
    pipeline = Pipeline(recipe_for(name)).fit(dataset, rng=3)
    old = dataset.item_ids.ids[0]
    pipeline.put_items(pl.DataFrame({"item": ["brand new", old], "title": ["Brand New", "Another Title"]}))
    assert pipeline.dataset.titles(pipeline.dataset.item_ids.encode([old, "brand new"])) == [
        "Another Title",
        "Brand New",
    ]
    everything = [pipeline.run(Query(k=200, history=h)) for h in ([], [dataset.item_ids.ids[3]], ["brand new"])]
    assert all(len(slate.picks) > 10 for slate in everything)
    assert "brand new" in {pick.item for pick in everything[0].picks}


def test_a_refused_item_changes_nothing(dataset: Dataset) -> None:
    pipeline = Pipeline(recipe_for("popularity")).fit(dataset, rng=3)
    with pytest.raises(DataError, match="colour"):
        pipeline.put_items(pl.DataFrame({"item": ["new"], "colour": ["red"]}))
    assert pipeline.dataset is dataset
