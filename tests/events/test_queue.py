import threading

import pytest

from twofold.core.errors import StoreError
from twofold.events import MemoryQueue


class Clock:
    """A clock that moves only when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_messages_come_in_order_and_go_when_acknowledged() -> None:
    queue = MemoryQueue()
    queue.put(b"first")
    queue.put(b"second")
    one, two = queue.take(), queue.take()
    assert one
    assert two
    assert (one.message, two.message, queue.take()) == (b"first", b"second", None)
    assert len(queue) == 2
    assert queue.acknowledge(one)
    assert not queue.acknowledge(one)
    assert len(queue) == 1


def test_a_message_that_nobody_acknowledged_comes_again() -> None:
    clock = Clock()
    queue = MemoryQueue(loan_seconds=5, clock=clock)
    queue.put(b"work")
    first = queue.take()
    assert first
    clock.now = 4.9
    assert queue.take() is None
    clock.now = 5.0
    again = queue.take()
    assert again
    assert (again.message, again.attempt, first.attempt) == (b"work", 2, 1)
    assert not queue.acknowledge(first)
    assert queue.acknowledge(again)
    assert len(queue) == 0


def test_a_message_given_back_comes_before_all_others() -> None:
    queue = MemoryQueue()
    queue.put(b"first")
    queue.put(b"second")
    first = queue.take()
    assert first
    assert queue.give_back(first)
    assert not queue.give_back(first)
    again = queue.take()
    assert again
    assert (again.message, again.attempt) == (b"first", 2)


def test_a_full_queue_refuses() -> None:
    queue = MemoryQueue(most=1)
    queue.put(b"first")
    queue.take()
    with pytest.raises(StoreError, match="full with 1 messages"):
        queue.put(b"second")


def test_a_waiting_consumer_is_woken() -> None:
    queue, got = MemoryQueue(), []
    consumer = threading.Thread(target=lambda: got.append(queue.take(timeout=30)))
    consumer.start()
    queue.put(b"work")
    consumer.join(timeout=30)
    assert [delivery.message for delivery in got] == [b"work"]
