import numpy as np

from twofold.core import Histories
from twofold.models.sequential.events import blocks, gap_buckets, value_buckets


def history(lists, times=None, values=None) -> Histories:
    log = Histories.from_lists(lists)
    return Histories(
        indptr=log.indptr,
        items=log.items,
        values=log.values if values is None else np.array(values, np.float32),
        timestamps=log.timestamps if times is None else np.array(times, np.int64),
    )


def test_gaps_are_powers_of_two_of_seconds_within_a_row() -> None:
    log = history([[1, 2, 3, 4], [5, 6], []], [1000, 1000, 2000, 5000, 9000, 10**15])
    assert gap_buckets(log).tolist() == [0, 1, 2, 3, 0, 25]


def test_unknown_times_are_no_gaps() -> None:
    assert gap_buckets(history([[1, 2, 3]])).tolist() == [0, 0, 0]
    assert gap_buckets(history([[1, 2, 3]], [0, 5000, 6000])).tolist() == [0, 0, 2]


def test_values_keep_sign_and_strength() -> None:
    log = history([[0] * 7], values=[-1, -0.5, -0.1, 0, 0.1, 0.5, 1])
    assert value_buckets(log).tolist() == [1, 2, 2, 3, 4, 4, 5]


def test_rows_of_like_length_come_together() -> None:
    parts = list(blocks(history([[1, 2, 3], [4], [5, 6], []]), 2))
    assert [rows.tolist() for rows, _ in parts] == [[3, 1], [2, 0]]
    assert parts[1][1].items[0, :2].tolist() == [5, 6]
    assert parts[1][1].items[1].tolist() == [1, 2, 3]
    assert parts[0][1].filled.tolist() == [[False], [True]]


def test_a_hidden_item_ends_each_row() -> None:
    ((_, events),) = blocks(history([[1, 2], [4]], values=[1, 1, -1]), 2, hidden=9)
    assert events.lengths.tolist() == [2, 3]
    assert events.items[0, :2].tolist() == [4, 9]
    assert events.items[1].tolist() == [1, 2, 9]
    assert events.values[0, :2].tolist() == [1, 0]
