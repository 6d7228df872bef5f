"""`Worth`: what an event says of a user's taste."""

import math
from dataclasses import dataclass
from typing import Any

from twofold.core.event import Event
from twofold.core.recipe import Recipe, Weights  # noqa: F401  Weights is for the example

__all__ = ["Worth"]

VALUES = {"click": 0.5, "purchase": 1.0, "like": 1.0, "dislike": -1.0, "dismiss": 0.0}
"""As `twofold.data` has them for the log; an impression is no deed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Turns events into signed values in [-1, 1], by the rules of the recipe's `[data]`."""

    neutral: float = 3.0
    """The rating that is neither a like nor a dislike."""
    highest: float = 5.0
    values: dict[str, float]

    @classmethod
    def of(cls, recipe: Recipe) -> "Worth":
        """Read the rules; without any, ratings are of 1 to 5 stars."""
        data: dict[str, Any] = recipe.data
        highest = float(data.get("highest") or 5.0)
        neutral = data.get("neutral")
        return cls(
            neutral=0.6 * highest if neutral is None else float(neutral),
            highest=highest,
            values=VALUES | data.get("event_values", {}),
        )

    def of_event(self, event: Event) -> float | None:
        """Return the value of an event, None where it says nothing.

        >>> worth = Worth.of(Recipe(name="stars", retrieve={}, evidence=Weights()))
        >>> [worth.of_event(Event(kind="rating", item=1, value=stars)) for stars in (1, 3, 4, 9)]
        [-1.0, 0.0, 0.5, 1.0]
        >>> worth.of_event(Event(kind="impression", item=1))
        """
        if event.kind == "rating" and event.value is not None:
            return max(-1.0, min(1.0, (event.value - self.neutral) / (self.highest - self.neutral)))
        return self.values.get(event.kind)

    def positive(self) -> dict[str, float]:
        """Return which events say that somebody liked an item, by kind: all whose value, if any, is above this.

        >>> Worth.of(Recipe(name="stars", retrieve={}, evidence=Weights())).positive()
        {'click': -inf, 'purchase': -inf, 'like': -inf, 'rating': 3.0}
        """
        kinds = {kind: -math.inf for kind, value in self.values.items() if value > 0}
        return kinds | {"rating": self.neutral}
