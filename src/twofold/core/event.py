"""`Event`: what happened to a slate, an item, a user or an experiment."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from twofold.core.errors import DataError, nearest
from twofold.core.ids import Id, new_id

__all__ = ["Event", "Kind"]

Kind = Literal[
    "impression",
    "click",
    "rating",
    "purchase",
    "like",
    "dislike",
    "dismiss",
    "item",
    "item-removed",
    "user",
    "user-removed",
    "experiment",
    "experiment-stopped",
]
SUBJECTS = {"user": "user", "user-removed": "user", "experiment": "experiment", "experiment-stopped": "experiment"}
"""What an event of a kind is about; all others are about an item."""
LATEST = 8_640_000_000_000_000
"""The last millisecond that clocks of browsers know, so that no time overflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to a slate, an item, a user or an experiment; `id` makes a repeated delivery harmless.

    Raises:
        DataError: the kind is unknown, it lacks what it is about, a rating has no value, a value is no number, or the
            time is out of range.
    """

    kind: Kind
    """`dismiss` says that the item is not wanted again, and nothing of taste; `item` that the item was added or
    changed, `user` the same of a user; `experiment` that one began, with the arms that its attributes say."""
    item: Id | None = None
    """What it happened to; none where it is about a user alone."""
    user: Id | None = None
    value: float | None = None
    """The rating, for a `rating`; the amount, for a `purchase`."""
    slate: str | None = None
    """The slate that the event answers."""
    experiment: str | None = None
    """The experiment that begins or stops."""
    attributes: Mapping[str, Any] | None = None
    """What is said of an item or a user that was added or changed, by column; see `Dataset.with_items`."""
    timestamp: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    """Milliseconds since 1970 in UTC."""
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"an event cannot be of kind {self.kind!r}; {nearest(self.kind, get_args(Kind))}")
        subject = SUBJECTS.get(self.kind, "item")
        if getattr(self, subject) is None:
            raise DataError(f"an event of kind {self.kind!r} names no {subject}; give its id as `{subject}`.")
        if self.kind == "rating" and self.value is None:
            raise DataError("a rating has no value; give the rating as `value`.")
        if self.value is not None and not math.isfinite(self.value):
            raise DataError(f"an event cannot have the value {self.value}; give a finite number.")
        if not 0 <= self.timestamp <= LATEST:
            raise DataError(f"an event cannot be at {self.timestamp}; give milliseconds since 1970.")
