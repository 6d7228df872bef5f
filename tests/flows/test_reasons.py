import re

import numpy as np
import pytest

from twofold.core import Dataset, Pipeline, Query, Recipe, Weights
from twofold.core.errors import ConfigError, MissingExtraError
from twofold.data import Simulation, simulate
from twofold.encoders.generate import Sampling
from twofold.flows.reasons import Reasoner, _best


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return simulate(Simulation(users=60, items=80, events=1_500, seed=7))[0]


@pytest.fixture(scope="module")
def pipeline(dataset: Dataset) -> Pipeline:
    recipe = Recipe(
        name="r",
        retrieve={"ease": {"kind": "ease"}, "words": {"kind": "lexical"}, "popular": {"kind": "popularity"}},
        evidence=Weights(text={"words": 1.0}, items={"ease": 1.0}, history={"ease": 1.0}, nothing={"popular": 1.0}),
    )
    return Pipeline(recipe).fit(dataset, rng=0)


class Liar:
    """Writes the title of every item, wherever it is asked."""

    def __init__(self, titles):
        self.titles = titles

    def write(self, prompts, sampling, *, longest, seed):
        return [[f"it is like {title}" for title in self.titles] for _ in prompts]


def test_reasons_name_what_they_cite_and_nothing_else(pipeline, dataset):
    titles = [title for title in dataset.items["title"] if title]
    query = Query(history=dataset.item_ids.ids[:4].to_list(), k=8)
    slate = pipeline.run(query)
    for writer in (None, Liar(titles)):
        reasons = Reasoner(pipeline, writer).explain(query, slate)
        assert [reason.item for reason in reasons] == slate.items
        assert any(reason.cited for reason in reasons)
        for reason in reasons:
            assert set(reason.cited) <= set(query.history)
            assert len(set(reason.cited)) == len(reason.cited) <= 2
            allowed = dataset.titles(dataset.item_ids.encode([reason.item, *reason.cited]))
            text = reason.text
            for title in sorted(allowed, key=len, reverse=True):
                text = text.replace(title, "")
            assert not [title for title in titles if re.search(rf"\b{re.escape(title)}\b", text)]
            if reason.cited:
                assert all(title in reason.text for title in allowed[1:])


def test_the_first_cited_is_the_one_that_adds_most(pipeline, dataset):
    query = Query(history=dataset.item_ids.ids[:4].to_list(), k=8)
    slate = pipeline.run(query)
    for pick, reason in zip(slate.picks, Reasoner(pipeline).explain(query, slate), strict=True):
        if reason.cited:
            (title,) = dataset.titles(dataset.item_ids.encode(reason.cited[:1]))
            assert pick.reason == f"because of {title}"
            assert reason.text.startswith(f"Because you liked {title}")
        else:
            assert reason.text == "Popular now."


def test_seeds_are_asked_about(pipeline, dataset):
    (title,) = dataset.titles(np.array([5]))
    query = Query(items=[dataset.item_ids.ids[5]], k=3)
    reasons = Reasoner(pipeline).explain(query, pipeline.run(query))
    assert {reason.text.split(title)[0] for reason in reasons if reason.cited} == {"Because you asked about "}


def test_what_rests_on_no_item_keeps_its_reason(pipeline, dataset):
    word = str(dataset.items["title"][0]).split()[0]
    for query, text in ((Query(text=word, k=2), f"Matches “{word}”."), (Query(k=2), "Popular now.")):
        slate = pipeline.run(query)
        assert {(reason.text, reason.cited) for reason in Reasoner(pipeline).explain(query, slate)} == {(text, ())}
    empty = pipeline.run(Query(text="zzzzzzzz"))
    assert Reasoner(pipeline).explain(Query(text="zzzzzzzz"), empty) == []


def test_others_are_cited_only_where_they_add_nearly_as_much():
    codes = np.array([7, 8, 9, 7, 6], np.int32)
    assert _best(codes, np.array([0.4, 0.05, 0.3, 0.5, 0.2], np.float32)) == [7, 9]
    assert _best(codes, np.array([1.0, 0.2, 0.0, 0.0, -1.0], np.float32)) == [7]
    assert _best(codes, np.array([0.0, -0.2, 0.0, 0.0, -1.0], np.float32)) == []


def test_a_missing_model_is_said(pipeline):
    with pytest.raises(ConfigError, match="no model"):
        Reasoner.load(pipeline, "no such model")


def test_a_real_model_is_held_to_the_evidence(pipeline, dataset):
    try:
        reasoner = Reasoner.load(pipeline, "smollm2", Sampling(samples=2, tokens=16))
    except (MissingExtraError, ConfigError) as error:
        pytest.skip(f"SmolLM2 cannot be loaded here: {error}")
    query = Query(history=dataset.item_ids.ids[:3].to_list(), k=1)
    (reason,) = reasoner.explain(query, pipeline.run(query))
    assert reason.text.startswith("Because you liked ")
    assert reason.cited
