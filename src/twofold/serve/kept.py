"""`KeptSlates`: slates are kept, and served again as long as they are what would be answered anew."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import msgspec

from twofold.core.query import Query
from twofold.core.slate import Slate
from twofold.serve.live import Stamp

__all__ = ["KeptSlates"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A slate, and what it was made of."""

    slate: Slate
    quality: float
    stamp: Stamp


class KeptSlates:
    """The slates of one artifact that were asked for last; for one thread.

    Args:
        most: picks of all of them together, so that memory stays bounded.
    """

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, query: Query, stamp: Stamp, quality: float) -> Slate | None:
        """Return the slate that answers a query, as it was served before.

        Args:
            query: what is asked; by when and how urgently makes no difference.
            stamp: what a slate would be made of now.
            quality: of the step that would make it, which a kept one must not fall short of.
        """
        key = _key(query)
        if key is None or (kept := self._kept.get(key)) is None:
            return None
        if kept.quality < quality or not stamp.matches(kept.stamp):
            return None
        self._kept.move_to_end(key)
        return kept.slate

    def put(self, query: Query, stamp: Stamp, quality: float, slate: Slate) -> None:
        """Keep a slate; those that were not asked for longest make room.

        Args:
            query: what it answers.
            stamp: what it was made of, as it was before it was made.
            quality: of the step that made it.
            slate: the slate.
        """
        key = _key(query)
        if key is None:
            return
        if (old := self._kept.pop(key, None)) is not None:
            self._count -= _size(old.slate)
        self._kept[key] = Kept(slate, quality, stamp)
        self._count += _size(slate)
        while self._count > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._count -= _size(oldest.slate)


def _size(slate: Slate) -> int:
    return len(slate) + 1  # an empty one takes room, too


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
