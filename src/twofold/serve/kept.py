"""`KeptSlates`: slates are kept, and served again as long as they are what would be answered anew."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import msgspec

from twofold.core.query import Query
from twofold.core.slate import Slate
from twofold.serve.live import Stamp

__all__ = ["KeptSlates"]

BESIDE = 500
"""Bytes of a question and of what else belongs to a slate, about."""
ENCODER, DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Slate)


@dataclass(frozen=True, slots=True)
class Kept:
    """A slate, and what it was made of."""

    slate: bytes
    """As MessagePack: a tenth of the memory of objects, which Python's collector of garbage would look through, too."""
    quality: float
    user: int


class KeptSlates:
    """The slates of one artifact that were asked for last; for one thread.

    Args:
        most: bytes of all of them together.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._heeding: set[Hashable] = set()
        self._now = Stamp(0, 0, 0)

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, query: Query, stamp: Stamp, quality: float) -> Slate | None:
        """Return the slate that answers a query, as it was served before.

        Args:
            query: what is asked; by when and how urgently makes no difference.
            stamp: what a slate would be made of now.
            quality: of the step that would make it, which a kept one must not fall short of.
        """
        self._forget(stamp)
        key = _key(query)
        if key is None or (kept := self._kept.get(key)) is None:
            return None
        if kept.user != stamp.user or kept.quality < quality:
            return None
        self._kept.move_to_end(key)
        return DECODER.decode(kept.slate)

    def put(self, query: Query, stamp: Stamp, quality: float, slate: Slate, *, heeds: bool) -> None:
        """Keep a slate; those that were not asked for longest make room.

        Args:
            query: what it answers.
            stamp: what it was made of, as it was before it was made.
            quality: of the step that made it.
            slate: the slate.
            heeds: whether it may change by what others do.
        """
        key = _key(query)
        if key is None or stamp.catalogue < self._now.catalogue or (heeds and stamp.others < self._now.others):
            return
        self._drop(key)
        self._kept[key] = kept = Kept(ENCODER.encode(slate), quality, stamp.user)
        self._held += len(kept.slate) + BESIDE
        if heeds:
            self._heeding.add(key)
        while self._held > self._most:
            self._drop(next(iter(self._kept)))

    def _forget(self, stamp: Stamp) -> None:
        """Drop what has changed for all."""
        if stamp.catalogue != self._now.catalogue:
            self._kept.clear()
            self._heeding.clear()
            self._held = 0
        elif stamp.others != self._now.others:
            for key in [*self._heeding]:
                self._drop(key)
        self._now = stamp

    def _drop(self, key: Hashable) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self._held -= len(old.slate) + BESIDE
            self._heeding.discard(key)


def _key(query: Query) -> Hashable | None:
    """Return what makes the answer to a query; None where it is too large to be kept."""
    if query.image is not None:
        return None
    return (
        query.text,
        query.user,
        tuple(query.history),
        tuple(query.items),
        query.k,
        msgspec.json.encode(query.filters) if query.filters else b"",
        tuple(query.exclude),
        query.repeat,
        query.diversity,
    )
