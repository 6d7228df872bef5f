from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Encoder, Histories, IdMap
from twofold.core.config import build
from twofold.core.errors import ConfigError
from twofold.encoders.adapted import AdaptedConfig, AdaptedEncoder, _Lesson

SIZE, ITEMS = 8, 40


class Given(Encoder):
    """Knows the vector of each text "q3" and of each item by its number."""

    reads = ("text", "image")

    def __init__(self, queries: np.ndarray, vectors: np.ndarray) -> None:
        super().__init__()
        self.queries, self.vectors = queries, vectors

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Given":
        return self

    def encode(self, values: Sequence[Any], modality: Any) -> np.ndarray:
        return np.stack([self.queries[int(value[1:])] for value in values])

    def encode_items(self, items: pl.DataFrame) -> np.ndarray:
        return self.vectors[items["item"].to_numpy()]


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def given() -> Given:
    """Searches that point at their items once they are turned: search j is item j, rotated."""
    rng = np.random.default_rng(0)
    items = unit(rng.normal(size=(ITEMS, SIZE)))
    turned, _ = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))
    return Given(unit(items @ turned), items)


def dataset_with(answers: list[tuple[str, int, float]]) -> Dataset:
    items = pl.DataFrame({"item": np.arange(ITEMS)})
    queries = pl.DataFrame(answers, schema={"text": pl.String, "item": pl.Int64, "grade": pl.Float32}, orient="row")
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series("user", [], dtype=pl.String)),
        items=items,
        users=pl.DataFrame({"user": []}, schema={"user": pl.String}),
        log=Histories.empty(0),
    ).with_queries(queries)


def adapted(encoder: Encoder, dataset: Dataset, **options: Any) -> AdaptedEncoder:
    stage = AdaptedEncoder(AdaptedConfig(encoder="text", **options))
    stage.linked["encoder"] = encoder
    return stage.fit(dataset, rng=0)


def test_it_learns_the_turn_and_generalises_to_new_searches(given: Given) -> None:
    stage = adapted(given, dataset_with([(f"q{j}", j, 1.0) for j in range(30)]), epochs=60, lr=3e-2, batch_size=8)
    new = [f"q{j}" for j in range(30, ITEMS)]
    before = (given.encode(new, "text") @ given.vectors.T).argmax(axis=1)
    after = (stage.encode(new, "text") @ stage.vectors.T).argmax(axis=1)
    assert (before == np.arange(30, ITEMS)).sum() <= 2
    assert (after == np.arange(30, ITEMS)).sum() >= 8
    assert stage.epochs > 0
    np.testing.assert_allclose(np.linalg.norm(stage.encode(new, "text"), axis=1), 1, atol=1e-5)


def test_the_gradient_is_that_of_the_loss(given: Given) -> None:
    rng = np.random.default_rng(1)
    lesson = _Lesson(
        queries=given.queries[:3], answers=[np.array([4]), np.array([5, 6]), np.array([7])], items=given.vectors
    )
    options = AdaptedConfig(dropout=0.0, temperature=0.5)
    found = rng.normal(size=(SIZE, SIZE)).astype(np.float32) * 0.1

    def loss(a: np.ndarray) -> float:
        scores = (lesson.queries + lesson.queries @ a).astype(np.float64) @ lesson.items.T / 0.5
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return -float(np.mean([logs[row, right].mean() for row, right in enumerate(lesson.answers)]))

    slope = lesson.slope(found, options, rng)
    for place in ((0, 0), (2, 5), (7, 1)):
        step = np.zeros((SIZE, SIZE))
        step[place] = 1e-4
        assert slope[place] == pytest.approx((loss(found + step) - loss(found - step)) / 2e-4, abs=1e-4)


def test_drawn_rivals_include_the_answers(given: Given) -> None:
    lesson = _Lesson(queries=given.queries[:2], answers=[np.array([39]), np.array([0, 7])], items=given.vectors)
    items, places = lesson._rivals(5, np.random.default_rng(0))
    assert len(items) <= 8
    for codes, found in zip(lesson.answers, places, strict=True):
        np.testing.assert_array_equal(items[found], given.vectors[codes])


def test_where_nothing_is_better_it_changes_nothing(given: Given) -> None:
    perfect = Given(given.vectors, given.vectors)
    stage = adapted(perfect, dataset_with([(f"q{j}", j, 1.0) for j in range(ITEMS)]))
    assert stage.epochs == 0
    assert not stage.map.any()


@pytest.mark.parametrize("answers", [[], [("q1", 1, 0.0)], [("q1", 1, 1.0)]])
def test_without_enough_searches_it_changes_nothing(given: Given, answers: list[tuple[str, int, float]]) -> None:
    stage = adapted(given, dataset_with(answers))
    np.testing.assert_allclose(stage.encode(["q1"], "text"), given.queries[1:2], atol=1e-6)


def test_the_same_seed_gives_the_same_map_which_is_saved(given: Given, tmp_path: Path) -> None:
    dataset = dataset_with([(f"q{j}", j, 1.0) for j in range(30)])
    one, other = adapted(given, dataset, rivals=10), adapted(given, dataset, rivals=10)
    np.testing.assert_array_equal(one.map, other.map)
    one.save(tmp_path)
    restored = AdaptedEncoder(one.config)
    restored.linked["encoder"] = given
    restored.restore(tmp_path, dataset)
    np.testing.assert_array_equal(restored.encode(["q3"], "text"), one.encode(["q3"], "text"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.npy"]


def test_images_and_items_pass_through(given: Given) -> None:
    stage = adapted(given, dataset_with([(f"q{j}", j, 1.0) for j in range(30)]), epochs=60, lr=3e-2, batch_size=8)
    np.testing.assert_array_equal(stage.encode(["q3"], "image"), given.queries[3:4])
    np.testing.assert_array_equal(stage.encode_items(pl.DataFrame({"item": [2]})), given.vectors[2:3])
    assert stage.vectors is given.vectors
    assert stage.reads == ("text", "image")


def test_a_search_without_a_vector_keeps_none(given: Given) -> None:
    given.queries[3] = 0
    stage = adapted(given, dataset_with([(f"q{j}", j, 1.0) for j in range(30)]))
    assert not stage.encode(["q3"], "text").any()


def test_it_wants_an_encoder_that_reads_texts(given: Given) -> None:
    with pytest.raises(ConfigError, match="no encoder to adapt"):
        AdaptedEncoder().fit(dataset_with([]))
    given.reads = ("image",)
    with pytest.raises(ConfigError, match="reads no text"):
        adapted(given, dataset_with([]))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"lr": 0.0}, {"dropout": 1.0}, {"held_out": 0.0}, {"decay": -1.0}])
def test_wrong_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        build(AdaptedConfig, wrong, "encode.adapted")
