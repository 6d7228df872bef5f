import numpy as np

from twofold.core import Histories
from twofold.models.sequential.windows import Windows, cut, pack


def test_short_rows_are_whole_and_single_events_nothing() -> None:
    log = Histories.from_lists([[1], [1, 2], [], [1, 2, 3, 4]])
    starts, stops = cut(log, 4, np.random.default_rng(0))
    assert list(zip(starts.tolist(), stops.tolist(), strict=True)) == [(1, 3), (3, 7)]


def test_long_rows_are_tiled_backwards_and_nearly_all_of_them_is_seen() -> None:
    log = Histories.from_lists([range(100)])
    seen = np.zeros(100)
    for seed in range(200):
        starts, stops = cut(log, 12, np.random.default_rng(seed))
        assert ((stops - starts <= 12) & (stops - starts > 1) & (starts >= 0)).all()
        for start, stop in zip(starts, stops, strict=True):
            seen[start:stop] += 1
    assert (seen > 100).all()


def test_batches_hold_so_many_tokens() -> None:
    lengths = np.random.default_rng(0).integers(2, 30, 500)
    groups = pack(lengths, 100, np.random.default_rng(1))
    assert sorted(np.concatenate(groups).tolist()) == list(range(500))
    assert max(len(group) * lengths[group].max() for group in groups) <= 100
    assert sum(len(group) * lengths[group].max() for group in groups) < 2.5 * lengths.sum()


def test_a_window_longer_than_a_batch_is_a_batch() -> None:
    assert [group.tolist() for group in pack(np.array([50]), 10, np.random.default_rng(0))] == [[0]]


def test_an_epoch_is_a_function_of_its_generator() -> None:
    windows = Windows(Histories.from_lists([range(30), range(5)]), length=8, tokens=16)
    one, same, other = (windows.batches(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [part.starts.tolist() for part in one] == [part.starts.tolist() for part in same]
    assert [part.starts.tolist() for part in one] != [part.starts.tolist() for part in other]
    assert one[0].make().items.shape[1] <= 8
