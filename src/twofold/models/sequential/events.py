"""Events: histories as the arrays that a sequential model reads. Legend: b rows, w columns, m known items."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.core.history import Histories

__all__ = ["GAPS", "NEUTRAL", "VALUES", "Block", "block", "blocks", "gap_buckets", "value_buckets"]

Ints = npt.NDArray[np.int64]

GAPS = 26
"""0: unknown; then powers of two of seconds, to a year and more."""
VALUES = 6
"""0: hidden; then from strong dislike to strong like."""
NEUTRAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some histories side by side, each beginning in column 0 and padded at its end."""

    items: Ints
    """[b, w]; what stands in the padding means nothing."""
    gaps: Ints
    """[b, w], see `gap_buckets`."""
    values: Ints
    """[b, w], see `value_buckets`."""
    lengths: Ints
    """[b]."""

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """Which places hold an event, shape [b, w]."""
        return np.arange(self.items.shape[1]) < self.lengths[:, None]


def gap_buckets(histories: Histories) -> Ints:
    """Return in which bucket the time since the row's event before is, for each event; 0 where that is unknown."""
    seconds = np.diff(histories.timestamps, prepend=0) / 1000
    known = (histories.timestamps > 0) & (np.concatenate(([0], histories.timestamps[:-1])) > 0)
    known[histories.indptr[:-1][histories.lengths > 0]] = False
    buckets = 1 + np.floor(np.log2(1 + np.maximum(seconds, 0))).astype(np.int64)
    found: Ints = np.where(known, np.minimum(buckets, GAPS - 1), 0)
    return found


def value_buckets(histories: Histories) -> Ints:
    """Return in which bucket the value of each event is: 1 and 2 for dislikes, 3 for neither, 4 and 5 for likes."""
    strengths = np.minimum(np.ceil(2 * np.abs(histories.values)), 2)
    found: Ints = NEUTRAL + (np.sign(histories.values) * strengths).astype(np.int64)
    return found


def block(histories: Histories, starts: Ints, stops: Ints, features: tuple[Ints, Ints]) -> Block:
    """Lay spans of a batch's events side by side."""
    lengths = stops - starts
    width = int(lengths.max(initial=0))
    places = np.minimum(starts[:, None] + np.arange(width), np.maximum(stops, 1)[:, None] - 1)
    return Block(
        items=histories.items[places].astype(np.int64),
        gaps=features[0][places],
        values=features[1][places],
        lengths=lengths.astype(np.int64),
    )


def blocks(histories: Histories, size: int, *, hidden: int | None = None) -> Iterator[tuple[Ints, Block]]:
    """Give all rows, those of like length together, at most `size` at a time, each part with its rows.

    Args:
        histories: a batch.
        size: rows of a part.
        hidden: an item that each row ends with, of unknown value and at an unknown time; None for none.
    """
    features = gap_buckets(histories), value_buckets(histories)
    order = np.argsort(histories.lengths, kind="stable")
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        found = block(histories, histories.indptr[rows], histories.indptr[rows + 1], features)
        yield rows, found if hidden is None else _with_last(found, hidden)


def _with_last(events: Block, item: int) -> Block:
    """Return the histories with one more item at the end of each."""
    rows = np.arange(len(events.lengths))

    def longer(part: Ints, value: int) -> Ints:
        part = np.pad(part, ((0, 0), (0, 1)))
        part[rows, events.lengths] = value
        return part

    return Block(
        items=longer(events.items, item),
        gaps=longer(events.gaps, 0),
        values=longer(events.values, 0),
        lengths=events.lengths + 1,
    )
