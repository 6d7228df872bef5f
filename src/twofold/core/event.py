"""`Event`: what happened to a slate or an item."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Literal, get_args

from twofold.core.errors import DataError, nearest
from twofold.core.ids import Id

__all__ = ["Event", "Kind"]

Kind = Literal["impression", "click", "rating", "purchase", "dislike", "item"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to a slate or an item; `id` makes a repeated delivery harmless.

    Raises:
        DataError: the kind is unknown, a rating has no value, or the time is negative.
    """

    kind: Kind
    """`item` says that the item was added or changed."""
    item: Id
    user: Id | None = None
    value: float | None = None
    """The rating, for a `rating`; the amount, for a `purchase`."""
    slate: str | None = None
    """The slate that the event answers."""
    timestamp: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    """Milliseconds since 1970 in UTC."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"an event cannot be of kind {self.kind!r}; {nearest(self.kind, get_args(Kind))}")
        if self.kind == "rating" and self.value is None:
            raise DataError("a rating has no value; give the rating as `value`.")
        if self.timestamp < 0:
            raise DataError(f"an event cannot be at {self.timestamp}; give milliseconds since 1970.")
