import numpy as np
import pytest

from twofold.core import Histories
from twofold.models.holding import HeldOut, hold_out


def log_of(lists, values=None) -> Histories:
    log = Histories.from_lists(lists)
    given = log.values if values is None else np.array(values, np.float32)
    return Histories(indptr=log.indptr, items=log.items, values=given, timestamps=log.timestamps)


def test_the_last_new_like_is_held_out_with_all_after_it() -> None:
    # Item 3 is the last like that is new; 1 was had before, 4 is a dislike.
    row = [1, 2, 3, 1, 4]
    log = log_of([row] * 10, [1, 1, 1, 1, -1] * 10)
    rest, held = hold_out(log, 1, np.random.default_rng(0))
    assert held is not None
    assert held.targets.tolist() == [3]
    assert held.histories.items.tolist() == [1, 2]
    assert sorted(rest.lengths.tolist()) == [2] + [5] * 9


def test_at_most_one_user_in_ten_is_held_out() -> None:
    log = log_of([[1, 2, 3]] * 25 + [[1]] * 100)
    rest, held = hold_out(log, 50, np.random.default_rng(0))
    assert held is not None
    assert len(held.targets) == 2
    assert len(rest.items) == len(log.items) - 2


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_is_held_out_of_little(count) -> None:
    log = log_of([[1, 2, 3]] * 9)
    rest, held = hold_out(log, count, np.random.default_rng(0))
    assert held is None
    assert rest is log


def test_gains_by_hand() -> None:
    held = HeldOut(histories=log_of([[0], [1], [2]]), targets=np.array([1, 2, 0], np.int32))
    scores = np.array([[9, 5, 1], [3, 0, 3], [1, 1, 0]], np.float32)
    # Row 0: the better item was had. Row 1: a tie counts against it. Row 2, asked first: so does this one.
    expected = [1 / np.log2(3), 1, 1 / np.log2(3)]
    np.testing.assert_allclose(held.gains(np.array([2, 0, 1]), scores[[2, 0, 1]]), expected)
