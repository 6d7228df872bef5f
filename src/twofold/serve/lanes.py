"""`Lanes`: questions that wait, by priority, each with its fair share. Logic alone, on a given clock."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

__all__ = ["PRIORITIES", "Lanes", "Priority", "Waiting"]

Priority = Literal["interactive", "standard", "batch"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
SHARES: dict[Priority, float] = {"interactive": 16.0, "standard": 4.0, "batch": 1.0}
"""What each priority gets where all wait."""
AGING_SECONDS = 1.0
"""A lane whose first question has waited so long gets twice its share, then three times, at most the highest."""

T = TypeVar("T")


@dataclass(slots=True)
class Waiting(Generic[T]):
    """One question that waits."""

    task: T
    priority: Priority
    since: float
    until: float
    """When it must be answered."""


class Lanes(Generic[T]):
    """One lane a priority, in order of arrival; which lane is next is weighted fair queueing.

    A lane's share grows while its first question waits, never above the highest share: so nothing starves, and
    nothing overtakes an interactive question more often than equals would.

    Source: Goyal, Vin and Cheng, "Start-time Fair Queueing" (SIGCOMM 1996).
    """

    def __init__(self) -> None:
        self._lanes: dict[Priority, deque[Waiting[T]]] = {priority: deque() for priority in PRIORITIES}
        self._tags: dict[Priority, float] = dict.fromkeys(PRIORITIES, 0.0)
        self._time = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[Waiting[T]]:
        return (waiting for lane in self._lanes.values() for waiting in lane)

    def count(self, priority: Priority) -> int:
        """Return how many of a priority wait."""
        return len(self._lanes[priority])

    def first(self, priority: Priority) -> Waiting[T] | None:
        """Return the first of a lane."""
        lane = self._lanes[priority]
        return lane[0] if lane else None

    def last(self, priority: Priority) -> Waiting[T] | None:
        """Return the last of a lane."""
        lane = self._lanes[priority]
        return lane[-1] if lane else None

    def push(self, waiting: Waiting[T]) -> None:
        """Put a question at the end of its lane."""
        lane = self._lanes[waiting.priority]
        if not lane:
            self._tags[waiting.priority] = max(self._tags[waiting.priority], self._time)
        lane.append(waiting)

    def pop(self, now: float) -> Waiting[T]:
        """Take the next question.

        Raises:
            IndexError: none waits.
        """
        ready = [priority for priority in PRIORITIES if self._lanes[priority]]
        if not ready:
            raise IndexError("nothing waits")
        ends = {priority: self._tags[priority] + 1 / self._share(priority, now) for priority in ready}
        chosen = min(ready, key=lambda priority: ends[priority])  # of equals, the higher priority
        self._time, self._tags[chosen] = self._tags[chosen], ends[chosen]
        return self._lanes[chosen].popleft()

    def ahead(self, priority: Priority, place: int | None = None) -> float:
        """Return how many questions are done before one of a priority, of those that wait now.

        Args:
            priority: its lane.
            place: how many of its own lane are before it; all, where it comes now.
        """
        own = len(self._lanes[priority]) if place is None else place
        share = SHARES[priority]
        others = (
            min(len(lane), (own + 1) * SHARES[other] / share)
            for other, lane in self._lanes.items()
            if other != priority
        )
        return own + sum(others)

    def _share(self, priority: Priority, now: float) -> float:
        aged = 1 + max(now - self._lanes[priority][0].since, 0.0) / AGING_SECONDS
        return min(SHARES[priority] * aged, SHARES["interactive"])
