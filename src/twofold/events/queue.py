"""`Queue`: messages handed from those who have work to those who do it, each at least once.

A message that was taken and neither acknowledged nor given back in time is delivered again, so a consumer that
dies loses nothing; a consumer must bear to see a message twice.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twofold.core.errors import StoreError

__all__ = ["Delivery", "MemoryQueue", "Queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message on loan."""

    receipt: int
    """Names this delivery of the message."""
    message: bytes
    attempt: int
    """1 for the first delivery of the message, one more each time."""


class Queue(Protocol):
    """Messages in order, each delivered at least once."""

    def put(self, message: bytes) -> None:
        """Add a message at the end.

        Raises:
            StoreError: there are too many already.
        """
        ...

    def take(self, timeout: float = 0.0) -> Delivery | None:
        """Return the next message, or None where none came within `timeout` seconds."""
        ...

    def acknowledge(self, delivery: Delivery) -> bool:
        """Say that a message is done with; False where it had been delivered anew by then."""
        ...

    def give_back(self, delivery: Delivery) -> bool:
        """Let a message be delivered again at once, before all others; False where it had been already."""
        ...

    def __len__(self) -> int:
        """Return how many messages are not done with."""
        ...


class MemoryQueue:
    """A `Queue` in the memory of one process.

    Args:
        most: how many messages it holds, those on loan among them.
        loan_seconds: after how long a message that nobody acknowledged is delivered again.
        clock: seconds that only rise.
    """

    def __init__(
        self, *, most: int = 100_000, loan_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._loan, self._clock = most, loan_seconds, clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._lent: dict[int, tuple[float, bytes, int]] = {}
        self._receipts = 0

    def put(self, message: bytes) -> None:
        """See `Queue.put`."""
        with self._changed:
            if len(self) >= self._most:
                raise StoreError(f"the queue is full with {self._most:,} messages; try again later.")
            self._waiting.append((message, 1))
            self._changed.notify()

    def take(self, timeout: float = 0.0) -> Delivery | None:
        """See `Queue.take`."""
        until = self._clock() + timeout
        with self._changed:
            while not self._waiting:
                self._call_in()
                left = until - self._clock()
                if self._waiting or left <= 0:
                    break
                due = min((due for due, _, _ in self._lent.values()), default=until)
                self._changed.wait(max(min(left, due - self._clock()), 0.0))
            if not self._waiting:
                return None
            message, attempt = self._waiting.popleft()
            self._receipts += 1
            self._lent[self._receipts] = (self._clock() + self._loan, message, attempt)
            return Delivery(receipt=self._receipts, message=message, attempt=attempt)

    def acknowledge(self, delivery: Delivery) -> bool:
        """See `Queue.acknowledge`."""
        with self._changed:
            return self._lent.pop(delivery.receipt, None) is not None

    def give_back(self, delivery: Delivery) -> bool:
        """See `Queue.give_back`."""
        with self._changed:
            if self._lent.pop(delivery.receipt, None) is None:
                return False
            self._waiting.appendleft((delivery.message, delivery.attempt + 1))
            self._changed.notify()
            return True

    def __len__(self) -> int:
        return len(self._waiting) + len(self._lent)

    def _call_in(self) -> None:
        """Put messages whose loan is over back, the oldest first."""
        late = [receipt for receipt, (due, _, _) in self._lent.items() if due <= self._clock()]
        for receipt in late:
            _, message, attempt = self._lent.pop(receipt)
            self._waiting.append((message, attempt + 1))
