"""Windows: the parts of long histories that an epoch learns from, in batches of like length."""

import numpy as np

from twofold.core.history import Histories
from twofold.models.sequential.events import Block, Ints, block, gap_buckets, value_buckets

__all__ = ["Windows", "cut", "pack"]

SPREAD = 16
"""Windows whose lengths differ by less may swap places, so that batches are not the same in every epoch."""


class Windows:
    """The batches of a log; cut anew in every epoch.

    Args:
        log: item codes must be those of the model.
        length: events of a window.
        tokens: events of a batch, padding included.
    """

    def __init__(self, log: Histories, *, length: int, tokens: int) -> None:
        self.log, self.length, self.tokens = log, length, tokens
        self.features = gap_buckets(log), value_buckets(log)

    def batches(self, rng: np.random.Generator) -> list["LazyBlock"]:
        """Return the batches of an epoch in random order; each is laid out when it is asked for."""
        starts, stops = cut(self.log, self.length, rng)
        parts = pack(stops - starts, self.tokens, rng)
        return [LazyBlock(self, starts[part], stops[part]) for part in parts]


class LazyBlock:
    """A batch that is laid out when it is needed, since an epoch's batches together are large."""

    def __init__(self, windows: Windows, starts: Ints, stops: Ints) -> None:
        self.windows, self.starts, self.stops = windows, starts, stops

    def make(self) -> Block:
        """Lay it out."""
        return block(self.windows.log, self.starts, self.stops, self.windows.features)


def cut(log: Histories, length: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return where the windows of all rows start and stop in the log.

    A row of at most `length` events is one window, one of a single event none. A longer row is tiled backwards
    from an end that is drawn anew each time, so that an event is not always at the same place of a window; what
    is left over at either end is a window of its own where it is not too short to be worth it.
    """
    counts = log.lengths
    short = np.flatnonzero((counts > 1) & (counts <= length))
    starts, stops = [log.indptr[short]], [log.indptr[short + 1]]
    for row in np.flatnonzero(counts > length):
        skipped = int(rng.integers(length))
        ends = np.arange(counts[row] - skipped, length // 4, -length)
        if skipped >= length // 2:
            ends = np.append(ends, counts[row])
        stops.append(log.indptr[row] + ends)
        starts.append(log.indptr[row] + np.maximum(ends - length, 0))
    return np.concatenate(starts), np.concatenate(stops)


def pack(lengths: Ints, tokens: int, rng: np.random.Generator) -> list[Ints]:
    """Group windows of like length so that no group has more than `tokens` places, padding included."""
    order = np.argsort(-(lengths + rng.uniform(0, SPREAD, len(lengths))))
    groups, first, widest = [], 0, 0
    for place, length in enumerate(lengths[order]):
        widest = max(widest, int(length))
        if widest * (place + 1 - first) > tokens and place > first:
            groups.append(order[first:place])
            first, widest = place, int(length)
    if first < len(order):
        groups.append(order[first:])
    return [groups[place] for place in rng.permutation(len(groups))]
