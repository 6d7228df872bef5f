"""The event store and the queue, each with a twin in memory."""

from twofold.events.queue import Delivery, MemoryQueue, Queue
from twofold.events.slates import Assignment, LoggedSlate, Tally
from twofold.events.sql import SqlStore
from twofold.events.store import EventStore, MemoryStore, Stored

__all__ = [
    "Assignment",
    "Delivery",
    "EventStore",
    "LoggedSlate",
    "MemoryQueue",
    "MemoryStore",
    "Queue",
    "SqlStore",
    "Stored",
    "Tally",
]
