import numpy as np
import pytest

from twofold.core import DenseScores, Histories, SparseScores
from twofold.retrieval.fusion import Fusion, FusionConfig

NAN = np.nan


def dense(*rows: list[float]) -> DenseScores:
    return DenseScores(np.array(rows, np.float32))


def sparse(**scores: float) -> SparseScores:
    codes = [int(name[1:]) for name in scores]
    found = Histories.from_lists([codes])
    return SparseScores(
        Histories(
            indptr=found.indptr,
            items=found.items,
            values=np.array(list(scores.values()), np.float32),
            timestamps=found.timestamps,
        )
    )


def test_scores_are_brought_to_one_scale() -> None:
    opinions = {"a": dense([3.0, 4.0, 0.0]), "b": dense([0.0, 0.0, 10.0])}
    found = Fusion().fuse(opinions, {"a": 1.0, "b": 0.5}, None, size=1, k=3)
    # a: (3, 4, 0) / 5; b: (0, 0, 10) / 10, at half weight.
    assert found.items.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(found.scores, [[0.8, 0.6, 0.5]], rtol=1e-6)


def test_each_candidate_keeps_its_sources() -> None:
    opinions = {"a": dense([3.0, 4.0, 0.0]), "b": sparse(i2=7.0)}
    found = Fusion().fuse(opinions, {"a": 1.0, "b": 2.0}, None, size=1, k=3)
    assert found.items.tolist() == [[2, 1, 0]]
    np.testing.assert_array_equal(found.sources["a"], [[0, 4, 3]])
    np.testing.assert_array_equal(found.sources["b"], [[7, NAN, NAN]])


def test_reciprocal_rank_by_hand() -> None:
    opinions = {"a": dense([3.0, 2.0, 1.0]), "b": sparse(i1=9.0, i2=8.0)}
    found = Fusion(FusionConfig(method="reciprocal-rank")).fuse(opinions, {"a": 1.0, "b": 1.0}, None, size=1, k=3)
    expected = {0: 1 / 61, 1: 1 / 62 + 1 / 61, 2: 1 / 63 + 1 / 62}
    assert found.items[0].tolist() == [1, 2, 0]
    np.testing.assert_allclose(found.scores[0], [expected[1], expected[2], expected[0]], rtol=1e-6)


def test_filters_hold_for_every_retriever() -> None:
    opinions = {"a": dense([3.0, 4.0, 5.0]), "b": sparse(i2=7.0, i1=6.0)}
    allowed = np.array([[True, True, False]])
    found = Fusion().fuse(opinions, {"a": 1.0, "b": 1.0}, allowed, size=1, k=3)
    assert found.items.tolist() == [[1, 0]]


def test_a_depth_of_one_still_brings_k() -> None:
    found = Fusion(FusionConfig(depth=1)).fuse({"a": dense([1.0, 2.0, 3.0])}, {"a": 1.0}, None, size=1, k=2)
    assert found.items.tolist() == [[2, 1]]


def test_rows_of_unequal_width_are_padded() -> None:
    opinions = {"a": dense([1.0, NAN, 2.0], [NAN, NAN, NAN])}
    found = Fusion().fuse(opinions, {"a": 1.0}, None, size=2, k=3)
    assert found.items.tolist() == [[2, 0], [-1, -1]]
    assert np.isneginf(found.scores[1]).all()


def test_no_retriever_finds_nothing() -> None:
    found = Fusion().fuse({}, {}, None, size=2, k=3)
    assert found.items.shape == (2, 0)


@pytest.mark.parametrize("method", ["score", "reciprocal-rank"])
def test_reorder_moves_but_neither_adds_nor_removes(method: str) -> None:
    fusion = Fusion(FusionConfig(method=method))
    first = fusion.fuse({"text": sparse(i0=5.0, i1=4.9, i2=1.0)}, {"text": 1.0}, None, size=1, k=3)
    second = fusion.reorder(first, {"taste": dense([0.0, 1.0, 0.2, 9.0])}, {"taste": 1.0}, 1.0)
    assert first.items.tolist() == [[0, 1, 2]]
    assert second.items.tolist()[0][:1] == [1]
    assert sorted(second.items[0].tolist()) == [0, 1, 2]
    assert set(second.sources) == {"text", "taste"}


def test_equal_votes_go_to_the_lower_code() -> None:
    found = Fusion().fuse({"a": dense([1.0, 1.0, 1.0])}, {"a": 1.0}, None, size=1, k=3)
    assert found.items.tolist() == [[0, 1, 2]]
