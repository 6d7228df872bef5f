"""Weights for search texts: learned from searches that people made, or from titles."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Encoder, Expander, Modality, Pipeline, Recipe, Weights, stage
from twofold.core.stage import stage_kinds
from twofold.data import dataset_of
from twofold.flows import fit, tune

SIZE = 60
WORDS = [f"w{number}x" for number in range(SIZE)]


class Numbers(Encoder):
    """Knows of an item the number that its text ends with, and of a search the number of its word."""

    reads = ("text",)
    state = ("vectors",)
    seen: list[list[str | None]] = []  # noqa: RUF012

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Numbers":
        self.vectors = self.encode_items(dataset.items)
        return self

    def encode(self, values: Sequence[Any], modality: Modality) -> np.ndarray:
        vectors = np.zeros((len(values), SIZE), np.float32)
        for row, value in enumerate(values):
            vectors[row, int(value.split()[-1].strip("wx"))] = 1
        return vectors

    def encode_items(self, items: pl.DataFrame) -> np.ndarray:
        self.seen.append(items["title"].to_list())
        return self.encode(items["text"].to_list(), "text")


class Notes(Expander):
    """Writes nothing; what it saw are the searches that it could have learned from."""

    seen: list[int] = []  # noqa: RUF012

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Notes":
        self.seen.append(len(dataset.queries))
        self.expansions = pl.Series([None] * len(dataset.items), dtype=pl.String)
        return self

    def learns_searches(self) -> bool:
        return True


class Point:
    def __init__(self, found: type) -> None:
        self.load = lambda: found


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {**stage_kinds(), "numbers": Point(Numbers), "notes": Point(Notes)}
    monkeypatch.setattr(stage, "stage_kinds", lambda: points)
    monkeypatch.setattr(Numbers, "seen", [])
    monkeypatch.setattr(Notes, "seen", [])


@pytest.fixture
def dataset() -> Dataset:
    """Items whose titles share no word with their texts; only the numbers lead from one to the other."""
    texts = [f"about {(number * 7) % SIZE} and {number}" for number in range(SIZE)]
    return dataset_of(pl.DataFrame({"item": WORDS, "title": WORDS, "text": texts}))


RECIPE = Recipe(
    name="hybrid",
    encode={"numbers": {"kind": "numbers"}},
    retrieve={"words": {"kind": "lexical"}, "near": {"kind": "dense", "encoder": "numbers"}},
    evidence=Weights(text={"words": 1.0, "near": 0.0}),
    tune={"step": 0.25},
)


def test_titles_tell_what_leads_to_texts(dataset: Dataset) -> None:
    assert tune(dataset, RECIPE).evidence.text["near"] > 0
    assert Numbers.seen[0] == WORDS  # the catalogue, once
    assert Numbers.seen[1] == [None] * SIZE  # and what changed, without titles


def test_the_catalogue_is_encoded_once_for_tuning_and_fitting(dataset: Dataset) -> None:
    pipeline = fit(dataset, replace(RECIPE, tune={"made_up": 25}))
    assert [len(titles) for titles in Numbers.seen] == [SIZE, 25]
    assert pipeline.encoders["numbers"].vectors.sum() == SIZE
    assert pipeline.recipe.evidence.text["near"] > 0
    plain = Pipeline(replace(pipeline.recipe, tune={})).fit(dataset, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(plain.encoders["numbers"].vectors, pipeline.encoders["numbers"].vectors)


def test_peoples_own_searches_count_more(dataset: Dataset) -> None:
    texts = [f"{word} 59w" for word in WORDS[:30]]  # the encoder goes by the last word, and is wrong
    asked = dataset.with_queries(pl.DataFrame({"text": texts, "item": WORDS[:30]}))
    tuned = tune(asked, replace(RECIPE, evidence=Weights(text={"words": 0.0, "near": 1.0})))
    assert Numbers.seen == [WORDS]  # nothing is made up
    assert tuned.evidence.text["words"] > 0
    assert sum(tuned.evidence.text.values()) == pytest.approx(1)


def test_a_stage_that_learns_from_searches_is_not_asked_them(dataset: Dataset) -> None:
    recipe = replace(
        RECIPE,
        expand={"notes": {"kind": "notes"}},
        retrieve={**RECIPE.retrieve, "words": {"kind": "lexical", "expansion": "notes"}},
    )
    asked = dataset.with_queries(pl.DataFrame({"text": WORDS, "item": WORDS}))
    fit(asked, recipe)
    assert Notes.seen == [SIZE - SIZE // 5, SIZE]


@pytest.mark.parametrize("options", [{"made_up": 0}, {"made_up": 10}])
def test_too_few_searches_leave_the_weights(dataset: Dataset, options: dict[str, Any]) -> None:
    recipe = replace(RECIPE, tune=options)
    assert tune(dataset, recipe) is recipe


def test_titles_without_texts_leave_the_weights(dataset: Dataset) -> None:
    silent = replace(dataset, items=dataset.items.with_columns(text=pl.lit(None, pl.String)))
    assert tune(silent, RECIPE) is RECIPE
