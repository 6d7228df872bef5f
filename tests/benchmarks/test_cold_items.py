import numpy as np
import polars as pl
import pytest
from benchmarks.cold_items import Cold

from twofold.core import Dataset, Histories, IdMap


@pytest.fixture
def cold():
    items = pl.DataFrame({"item": np.arange(5), "title": list("abcde")}).with_columns(
        text=pl.lit(None, pl.String), categories=pl.Series([[]] * 5, dtype=pl.List(pl.String))
    )
    users = pl.Series("user", np.arange(4))
    dataset = Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(users),
        items=items,
        users=users.to_frame(),
        log=Histories.from_lists([[0, 3], [1, 2], [4], [2, 0, 4, 3]]),
    )
    return Cold.of(dataset, np.array([3, 4]), np.array([2]))


def test_no_event_of_a_held_out_item_is_left(cold):
    assert sorted(cold.train.log.items.tolist()) == [0, 0, 1]
    # The second user likes no held-out item, and the third has no history.
    assert [cold.histories.row(row).items.tolist() for row in range(2)] == [[0], [0]]
    assert [cold.targets.row(row).items.tolist() for row in range(2)] == [[3], [4, 3]]


def test_quality_by_hand(cold):
    scores = np.array([[9, 5, 5, 1, 2]] * 2, np.float32)
    # Of the two held-out items, item 4 stands first: the first user's stands second, the second user's are both there.
    found = cold.ndcg(lambda _: scores)
    assert found.tolist() == [pytest.approx(1 / np.log2(3)), 1.0]
    # Among all but the history, items 1 and 2 stand above them.
    gain = 1 / np.log2(4) + 1 / np.log2(5)
    everything = cold.ndcg(lambda _: scores, among_all=True)
    assert everything.tolist() == [pytest.approx(1 / np.log2(5)), pytest.approx(gain / (1 + 1 / np.log2(3)))]
