"""`EventStore`: events in the order in which they were stored, each once, and readable again from any place.

The memory twin and the stores of databases keep the same promises; one conformance test holds all of them to it.
"""

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.events.slates import LoggedSlate, Tally

__all__ = ["EventStore", "MemoryStore", "Stored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An event and its place in the store."""

    offset: int
    """Rises with each event, from 1 on; where events were repeated, numbers may be left out."""
    event: Event


class EventStore(Protocol):
    """An append-only log of events, and beside it one of slates, that many processes may share."""

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

    def of_ids(self, prefix: str, limit: int = 10_000) -> list[Stored]:
        """Return the first `limit` events whose ids begin with a text, in the order of their offsets.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def log(self, slates: Sequence[LoggedSlate]) -> int:
        """Keep slates, all or none, and return how many were new; they change no answer and are no events.

        Raises:
            StoreError: they could not be kept; none was.
        """
        ...

    def slates(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, LoggedSlate]]:
        """Return up to `limit` slates behind an offset, each after its own offset, in the order of their offsets.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def tally(self, experiment: str, positive: Mapping[str, float]) -> list[Tally]:
        """Sum up the slates of an experiment, by rising names of its arms.

        Args:
            experiment: its name.
            positive: which events are positive, by kind: those without a value, and those whose value is above this.

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
        self._slates: dict[str, LoggedSlate] = {}
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

    def of_ids(self, prefix: str, limit: int = 10_000) -> list[Stored]:
        """See `EventStore.of_ids`."""
        with self._lock:
            return [stored for stored in self._events if stored.event.id.startswith(prefix)][:limit]

    def log(self, slates: Sequence[LoggedSlate]) -> int:
        """See `EventStore.log`."""
        with self._lock:
            before = len(self._slates)
            for slate in slates:
                self._slates.setdefault(slate.id, slate)
            return len(self._slates) - before

    def slates(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, LoggedSlate]]:
        """See `EventStore.slates`."""
        with self._lock:
            return list(enumerate(self._slates.values(), start=1))[after : after + limit]

    def tally(self, experiment: str, positive: Mapping[str, float]) -> list[Tally]:
        """See `EventStore.tally`."""
        answers: dict[tuple[str, str], list[bool]] = defaultdict(list)
        with self._lock:
            for slate in self._slates.values():
                events = [stored.event for stored in self._of_slate.get(slate.id, [])]
                hit = any(_is_positive(event, positive) for event in events)
                for one in slate.arms:
                    if one.experiment == experiment:
                        answers[one.arm, one.unit].append(hit)
        return [
            _summed(arm, [hits for (name, _), hits in answers.items() if name == arm])
            for arm in sorted({arm for arm, _ in answers})
        ]

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


def _is_positive(event: Event, positive: Mapping[str, float]) -> bool:
    return event.kind in positive and (event.value is None or event.value > positive[event.kind])


def _summed(arm: str, units: Sequence[Sequence[bool]]) -> Tally:
    rates = [sum(hits) / len(hits) for hits in units]
    return Tally(
        arm=arm,
        units=len(units),
        slates=sum(map(len, units)),
        positive=sum(map(sum, units)),
        total=sum(rates),
        squares=sum(rate * rate for rate in rates),
    )
