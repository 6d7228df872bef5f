"""Histories: what people did, as arrays. The form in which every stage sees a user."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.core.ids import Codes

__all__ = ["Histories"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """A batch of b histories in compressed rows, the oldest event of a row first.

    Row r holds the events `indptr[r]:indptr[r + 1]`. A Dataset's log is one such batch with a row
    for each user; a query's evidence is another with one row.
    """

    indptr: npt.NDArray[np.int64]
    """Row limits, shape [b + 1]."""
    items: Codes
    """Item codes, shape [events]."""
    values: npt.NDArray[np.float32]
    """Signed feedback in [-1, 1], shape [events]: above 0 a like, below 0 a dislike."""
    timestamps: npt.NDArray[np.int64]
    """Milliseconds since 1970 in UTC, shape [events]; 0 where unknown."""

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Events in each row, shape [b]."""
        return self.indptr[1:] - self.indptr[:-1]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row of each event, shape [events]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def ages(self) -> npt.NDArray[np.int64]:
        """Each event's distance from the end of its row, 0 for the newest, shape [events]."""
        return np.repeat(self.indptr[1:], self.lengths) - 1 - np.arange(len(self.items))

    @classmethod
    def from_events(
        cls,
        rows: npt.NDArray[np.integer],
        items: npt.NDArray[np.integer],
        values: npt.NDArray[np.floating],
        timestamps: npt.NDArray[np.integer],
        *,
        size: int,
    ) -> "Histories":
        """Group events into `size` rows by time; events at one time keep their given order."""
        steps = (rows[1:] > rows[:-1]) | ((rows[1:] == rows[:-1]) & (timestamps[1:] >= timestamps[:-1]))
        order = slice(None) if steps.all() else np.lexsort((timestamps, rows))
        return cls(
            indptr=np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=size)))).astype(np.int64),
            items=items[order].astype(np.int32, copy=False),
            values=values[order].astype(np.float32, copy=False),
            timestamps=timestamps[order].astype(np.int64, copy=False),
        )

    @classmethod
    def from_lists(cls, lists: Sequence[Iterable[int]]) -> "Histories":
        """Make histories of item codes alone: each a like, at an unknown time."""
        arrays = [np.asarray(row if isinstance(row, np.ndarray) else [*row], np.int32) for row in lists]
        items = np.concatenate([np.empty(0, np.int32), *arrays])
        return cls(
            indptr=np.cumsum([0, *map(len, arrays)], dtype=np.int64),
            items=items,
            values=np.ones(len(items), np.float32),
            timestamps=np.zeros(len(items), np.int64),
        )

    @classmethod
    def empty(cls, size: int) -> "Histories":
        """Make `size` histories without an event."""
        return cls.from_lists([()] * size)

    @classmethod
    def concatenate(cls, parts: Sequence["Histories"]) -> "Histories":
        """Put batches below each other."""
        return cls(
            indptr=np.concatenate(([0], *(part.lengths for part in parts))).cumsum(dtype=np.int64),
            items=np.concatenate([np.empty(0, np.int32), *(part.items for part in parts)]),
            values=np.concatenate([np.empty(0, np.float32), *(part.values for part in parts)]),
            timestamps=np.concatenate([np.empty(0, np.int64), *(part.timestamps for part in parts)]),
        )

    def row(self, row: int) -> "Histories":
        """Return one row as a batch of one, without a copy."""
        span = slice(int(self.indptr[row]), int(self.indptr[row + 1]))
        return Histories(
            indptr=np.array([0, span.stop - span.start], np.int64),
            items=np.asarray(self.items)[span],  # memory-mapped arrays are slow to cut
            values=np.asarray(self.values)[span],
            timestamps=np.asarray(self.timestamps)[span],
        )

    def take(self, rows: npt.NDArray[np.integer]) -> "Histories":
        """Return the given rows, in the given order."""
        lengths = self.lengths[rows]
        indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        index = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][rows] - indptr[:-1], lengths)
        return Histories(
            indptr=indptr, items=self.items[index], values=self.values[index], timestamps=self.timestamps[index]
        )

    def where(self, keep: npt.NDArray[np.bool_]) -> "Histories":
        """Return all rows with only the events for which `keep` (shape [events]) holds."""
        kept = np.concatenate(([0], np.cumsum(keep)))
        return Histories(
            indptr=kept[self.indptr].astype(np.int64),
            items=self.items[keep],
            values=self.values[keep],
            timestamps=self.timestamps[keep],
        )

    def likes(self) -> "Histories":
        """Return the events with a value above 0."""
        return self.where(self.values > 0)

    def last(self, count: int) -> "Histories":
        """Return at most the `count` newest events of each row."""
        return self if self.lengths.max(initial=0) <= count else self.where(self.ages < count)
