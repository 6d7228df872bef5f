from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from twofold.core import Batch, Dataset, Encoder, Histories, Modality
from twofold.core.errors import ConfigError, DataError
from twofold.retrieval import Dense, DenseConfig
from twofold.retrieval.graph import Graph

WORDS = ["red", "green", "blue", "round"]


class Colours(Encoder):
    """A vector counts four words, and has length 1; an image is its own first bytes."""

    reads = ("text", "image")
    state = ("vectors",)

    def fit(self, dataset: Dataset, *, rng: Any = None) -> "Colours":
        self.vectors = self.encode_items(dataset.items)
        return self

    def encode(self, values: Sequence[Any], modality: Modality) -> np.ndarray:
        if modality == "image":
            return np.array([list(value[:4]) for value in values], np.float32)
        counts = np.array([[value.count(word) for word in WORDS] for value in values], np.float32).reshape(-1, 4)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)

    def encode_items(self, items: pl.DataFrame) -> np.ndarray:
        return self.encode([title or "" for title in items["title"]], "text")


TITLES = ["red", "green", "red green", "blue", None, "round blue", "red"]
KINDS = [
    {"index": "exact", "precision": "float32"},
    {"index": "exact", "precision": "int8"},
    {"index": "exact", "precision": "binary"},
    {"index": "hnsw"},
]


@pytest.fixture
def dataset(catalogue: Any) -> Dataset:
    return catalogue(TITLES)


def dense(dataset: Dataset, **options: Any) -> Dense:
    stage = Dense(DenseConfig(encoder="colours", **options))
    stage.linked["encoder"] = Colours().fit(dataset)
    return stage.fit(dataset)


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind.values()))
def stage(request: pytest.FixtureRequest, dataset: Dataset) -> Dense:
    return dense(dataset, **request.param)


def likes(*rows: Sequence[int]) -> Batch:
    return Batch.of_histories(Histories.from_lists(rows))


def test_a_text_finds_what_is_near(stage: Dense) -> None:
    scores = stage.score(Batch.of_texts(["red", "blue round"]), "text")
    items, values = scores.top(3)
    assert items[0].tolist() == [0, 6, 2]
    assert items[1, :2].tolist() == [5, 3]
    np.testing.assert_allclose(values[0], [1, 1, 0.5**0.5], rtol=1e-6)
    np.testing.assert_allclose(scores.at(np.array([[2, 3, -1], [3, 0, 5]], np.int32))[0], [0.5**0.5, 0, np.nan])


def test_what_has_no_vector_is_found_by_others_alone(stage: Dense) -> None:
    scores = stage.score(Batch.of_texts(["red", "purple", ""]), "text")
    items, values = scores.top(7)
    assert 4 not in items
    assert items[1:].max() == -1
    assert np.isneginf(values[1:]).all()
    assert np.isnan(scores.at(np.array([[4], [0], [0]], np.int32))).all()


def test_an_image_is_encoded_as_such(stage: Dense) -> None:
    empty = Histories.empty(2)
    batch = Batch(histories=empty, seeds=empty, texts=[None, None], images=[None, bytes([0, 0, 3, 0])])
    items, values = stage.score(batch, "image").top(2)
    assert items.tolist() == [[-1, -1], [3, 5]]
    np.testing.assert_allclose(values[1], [3, 3 * 0.5**0.5], rtol=1e-6)


def test_only_allowed_items_are_found(stage: Dense) -> None:
    allowed = np.array([[False, True, True, True, True, True, True]])
    assert stage.score(Batch.of_texts(["red"]), "text").top(2, allowed)[0].tolist() == [[6, 2]]


def test_a_history_is_a_mean_in_which_new_likes_count_most(dataset: Dataset) -> None:
    stage = dense(dataset, recency=0.5)
    scores = stage.score(likes([3, 0], [], [0, 3]), "history").at(np.array([[0, 3]] * 3, np.int32))
    length = 1.25**0.5  # of 1 red + 0.5 blue
    np.testing.assert_allclose(scores[0], [1 / length, 0.5 / length], rtol=1e-6)
    assert np.isnan(scores[1]).all()
    np.testing.assert_allclose(scores[2], [0.5 / length, 1 / length], rtol=1e-6)


def test_seeds_are_items_and_dislikes_are_none(dataset: Dataset) -> None:
    stage = dense(dataset)
    seeds = Histories.from_lists([[3]])
    batch = Batch(histories=Histories.empty(1), seeds=seeds, texts=[None])
    assert stage.score(batch, "items").top(2)[0].tolist() == [[3, 5]]
    liked = Histories.from_lists([[3, 0]])
    mixed = Histories(
        indptr=liked.indptr, items=liked.items, values=np.array([1, -1], np.float32), timestamps=liked.timestamps
    )
    assert stage.score(Batch.of_histories(mixed), "history").top(2)[0].tolist() == [[3, 5]]
    assert stage.contributions(Batch.of_histories(mixed), "history", np.array([3], np.int32)).tolist() == [[1], [0]]


def test_contributions_add_up_to_the_score(stage: Dense) -> None:
    batch, items = likes([3, 2, 5, 0]), np.array([0, 5, 1], np.int32)
    amounts = stage.contributions(batch, "history", items)
    assert amounts is not None
    assert amounts.shape == (4, 3)
    np.testing.assert_allclose(amounts.sum(axis=0), stage.score(batch, "history").at(items[None])[0], rtol=1e-5)
    assert stage.contributions(likes([]), "history", items).shape == (0, 3)
    assert stage.contributions(Batch.of_texts(["red"]), "text", items) is None


def test_items_come_change_and_go_at_once(stage: Dense, dataset: Dataset) -> None:
    before = stage.score(Batch.of_texts(["red"]), "text")
    new = pl.DataFrame({"item": ["i0", "i6", "new"], "title": ["blue", None, "red red"]})
    changed, codes = dataset.with_items(new)
    stage.linked["encoder"].update(changed, codes)
    stage.update(changed, codes)
    scores = stage.score(Batch.of_texts(["red", "blue"]), "text")
    items, _ = scores.top(3)
    assert items[0, 0] == 7
    assert items[0, 1] == 2
    assert items[1, :2].tolist() == [0, 3]
    assert 6 not in items
    assert np.isnan(scores.at(np.array([[6], [6]], np.int32))).all()
    assert scores.top(3, np.ones((2, 7), bool))[0][0, 0] == 2  # a mask of the catalogue as it was
    assert before.top(2)[0].tolist() == [[0, 6]]
    assert np.isnan(before.at(np.array([[7]], np.int32))).all()


def test_saved_and_read_again_it_answers_the_same(stage: Dense, dataset: Dataset, tmp_path: Path) -> None:
    stage.save(tmp_path)
    read = Dense(stage.config)
    read.linked["encoder"] = stage.linked["encoder"]
    read.restore(tmp_path, dataset)
    batch = Batch.of_texts(["red green", "blue"])
    for one, other in zip(stage.score(batch, "text").top(5), read.score(batch, "text").top(5), strict=True):
        np.testing.assert_array_equal(one, other)
    changed, codes = dataset.with_items(pl.DataFrame({"item": ["new"], "title": ["blue"]}))
    read.linked["encoder"].update(changed, codes)
    read.update(changed, codes)
    assert 7 in read.score(batch, "text").top(2)[0][1]


def test_many_items_get_a_graph(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(dense(dataset)._index, Graph)
    monkeypatch.setattr("twofold.retrieval.dense.LARGE", 7)
    assert isinstance(dense(dataset)._index, Graph)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_refused(stage: Dense, dataset: Dataset, value: float) -> None:
    stage.linked["encoder"].vectors[2, 1] = value
    with pytest.raises(DataError, match="'colours' gave 'i2' a vector that is not finite"):
        stage.fit(dataset)
    with pytest.raises(DataError, match="'i2'"):
        stage.update(dataset, np.array([1, 2], np.int32))


def test_what_the_encoder_cannot_read_is_not_answered(dataset: Dataset) -> None:
    stage = dense(dataset)
    assert stage.answers() == ("text", "image", "items", "history")
    stage.linked["encoder"].reads = ("image",)
    assert stage.answers() == ("image", "items", "history")


def test_without_an_encoder_it_says_so(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="set `encoder` to the name of one in"):
        Dense().fit(dataset)


@pytest.mark.parametrize("options", [{"recency": 0.0}, {"recency": 1.1}, {"neighbours": 1}, {"width": 0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="dense retrieval wants"):
        DenseConfig(**options)
