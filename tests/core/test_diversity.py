import numpy as np
import polars as pl
import pytest

from twofold.core import Query
from twofold.core.diversity import depth, diversify, likeness
from twofold.core.errors import QueryError


def test_likeness_is_the_mean_cosine_of_categories_and_vectors() -> None:
    items = pl.DataFrame({"categories": [["a", "b"], ["a"], None, ["c"]]})
    codes = np.array([0, 1, 2, 3], np.int32)
    alone = likeness(items, codes)
    half = 1 / np.sqrt(2)
    assert alone == pytest.approx(np.array([[1, half, 0, 0], [half, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]))
    vectors = np.array([[1, 0], [0, 2], [3, 0], [-1, 0]], np.float32)
    both = likeness(items, codes, [vectors])
    assert both[0, 1] == pytest.approx(half / 2)
    assert both[0, 2] == pytest.approx(1 / 2)
    assert both[0, 3] == 0  # opposites are unlike, not more than that


def test_more_diversity_chooses_less_alike_items() -> None:
    alike = np.kron(np.eye(3), np.ones((4, 4)))  # three kinds, four good items of each in turn
    kinds = [[place // 4 for place in diversify(alike, 3, share)] for share in (0.0, 0.3, 1.0)]
    assert kinds == [[0, 0, 0], [0, 1, 0], [0, 1, 2]]
    assert diversify(alike, 20, 0.5)[0] == 0
    assert sorted(diversify(alike, 20, 0.5)) == list(range(12))
    assert diversify(np.empty((0, 0)), 3, 0.5) == []


def test_a_list_is_chosen_from_a_longer_one() -> None:
    assert (depth(10, 0.0), depth(10, 0.1), depth(2, 1.0)) == (10, 50, 50)


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_diversity_out_of_bounds_is_refused(diversity: float) -> None:
    with pytest.raises(QueryError, match="from 0 to 1"):
        Query(diversity=diversity)
