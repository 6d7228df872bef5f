"""`EventStore`: events in the order in which they were stored, each once, and readable again from any place.

The memory twin and the stores of databases keep the same promises; one conformance test holds all of them to it.
"""

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from twofold.core.event import Event
from twofold.core.ids import Id

__all__ = ["EventStore", "MemoryStore", "Stored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An event and its place in the store."""

    offset: int
    """Rises with each event, from 1 on; where events were repeated, numbers may be left out."""
    event: Event


class EventStore(Protocol):
    """An append-only log of events that many processes may share."""

    def append(self, events: Sequence[Event]) -> int:
        """Store events, all or none, and return how many were new; when it returns they outlast a crash.

        An event whose id is there already is left out, whatever else it says: the first one counts.

        Raises:
            StoreError: they could not be stored; none was.
        """
        ...

    def read(self, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """Return up to `limit` events behind an offset, in the order of their offsets.

        What is returned is complete: no event appears later at a smaller offset.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def of_user(self, user: Id, limit: int = 1_000) -> list[Stored]:
        """Return the newest `limit` events of a user, in the order of their offsets; 5 and "5" are one user.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def of_slate(self, slate: str, limit: int = 1_000) -> list[Stored]:
        """Return the first `limit` events that answer a slate, in the order of their offsets.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def end(self) -> int:
        """Return the offset of the newest event, 0 where there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def changed(self) -> bool:
        """Return whether something may have been stored since this was asked last; it costs next to nothing.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; closing twice does nothing more."""
        ...


class MemoryStore:
    """An `EventStore` in the memory of one process, for tests and trials; it is gone when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._events: list[Stored] = []
        self._of_user: dict[str, list[Stored]] = defaultdict(list)
        self._of_slate: dict[str, list[Stored]] = defaultdict(list)
        self._seen = 0

    def append(self, events: Sequence[Event]) -> int:
        """See `EventStore.append`."""
        with self._lock:
            before = len(self._events)
            for event in events:
                if event.id not in self._ids:
                    self._put(Stored(offset=len(self._events) + 1, event=event))
            return len(self._events) - before

    def _put(self, stored: Stored) -> None:
        event = stored.event
        self._ids.add(event.id)
        self._events.append(stored)
        if event.user is not None:
            self._of_user[str(event.user)].append(stored)
        if event.slate is not None:
            self._of_slate[event.slate].append(stored)

    def read(self, after: int = 0, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.read`."""
        with self._lock:
            start = bisect_right(self._events, after, key=lambda stored: stored.offset)
            return self._events[start : start + limit]

    def of_user(self, user: Id, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.of_user`."""
        with self._lock:
            return self._of_user.get(str(user), [])[-limit:]

    def of_slate(self, slate: str, limit: int = 1_000) -> list[Stored]:
        """See `EventStore.of_slate`."""
        with self._lock:
            return self._of_slate.get(slate, [])[:limit]

    def end(self) -> int:
        """See `EventStore.end`."""
        with self._lock:
            return len(self._events)

    def changed(self) -> bool:
        """See `EventStore.changed`."""
        before, self._seen = self._seen, self.end()
        return self._seen != before

    def close(self) -> None:
        """See `EventStore.close`; what is stored stays until the object goes."""
