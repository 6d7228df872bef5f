import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.core import Histories

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6)


@pytest.fixture
def three() -> Histories:
    """Three rows: two events, none, three events."""
    return Histories.from_events(
        np.array([2, 0, 2, 0, 2]),
        np.array([1, 2, 3, 4, 5]),
        np.array([1.0, -1.0, 0.5, 0.0, 1.0]),
        np.array([30, 20, 10, 20, 30]),
        size=3,
    )


def lists(histories: Histories) -> list[list[int]]:
    return [histories.row(row).items.tolist() for row in range(len(histories))]


def test_events_are_grouped_by_time_and_else_keep_their_order(three: Histories) -> None:
    assert lists(three) == [[2, 4], [], [3, 1, 5]]
    assert three.timestamps.tolist() == [20, 20, 10, 30, 30]
    assert three.values.tolist() == [-1.0, 0.0, 0.5, 1.0, 1.0]
    assert three.indptr.tolist() == [0, 2, 2, 5]
    assert (three.items.dtype, three.values.dtype, three.timestamps.dtype) == (np.int32, np.float32, np.int64)


def test_lengths_rows_and_ages(three: Histories) -> None:
    assert three.lengths.tolist() == [2, 0, 3]
    assert three.rows.tolist() == [0, 0, 2, 2, 2]
    assert three.ages.tolist() == [1, 0, 2, 1, 0]


def test_take_repeats_and_reorders_rows(three: Histories) -> None:
    assert lists(three.take(np.array([2, 1, 0, 2]))) == [[3, 1, 5], [], [2, 4], [3, 1, 5]]
    assert len(three.take(np.array([], int))) == 0


def test_likes_are_above_zero(three: Histories) -> None:
    assert lists(three.likes()) == [[], [], [3, 1, 5]]
    assert three.likes().timestamps.tolist() == [10, 30, 30]


def test_last_keeps_the_newest(three: Histories) -> None:
    assert lists(three.last(1)) == [[4], [], [5]]
    assert lists(three.last(2)) == [[2, 4], [], [1, 5]]
    assert three.last(3) is three
    assert lists(three.last(0)) == [[], [], []]


def test_lists_are_likes_at_an_unknown_time() -> None:
    made = Histories.from_lists([[3, 1], (), [2]])
    assert lists(made) == [[3, 1], [], [2]]
    assert made.values.tolist() == [1.0, 1.0, 1.0]
    assert made.timestamps.tolist() == [0, 0, 0]


def test_nothing_at_all() -> None:
    assert len(Histories.empty(2)) == 2
    assert len(Histories.empty(0)) == 0
    assert len(Histories.concatenate([])) == 0
    none = np.empty(0, np.int64)
    assert lists(Histories.from_events(none, none, none.astype(float), none, size=2)) == [[], []]


@given(LISTS, LISTS)
def test_concatenate_and_take_are_inverse(first: list[list[int]], second: list[list[int]]) -> None:
    both = Histories.concatenate([Histories.from_lists(first), Histories.from_lists(second)])
    assert lists(both) == first + second
    assert lists(both.take(np.arange(len(first), len(both)))) == second


@given(LISTS, st.integers(0, 9))
def test_where_filters_within_rows(rows: list[list[int]], limit: int) -> None:
    made = Histories.from_lists(rows)
    assert lists(made.where(made.items < limit)) == [[item for item in row if item < limit] for row in rows]
