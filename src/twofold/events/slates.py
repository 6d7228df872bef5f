"""`LoggedSlate`: what was served, and how likely that was; `Tally`: what became of the slates of an arm."""

from collections.abc import Sequence
from dataclasses import dataclass

from twofold.core.ids import Id

__all__ = ["Assignment", "LoggedSlate", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The arm of an experiment by which a slate came."""

    experiment: str
    arm: str
    unit: str
    """What was assigned, and gets this arm each time: a user or a session."""
    propensity: float
    """The probability with which the unit came to this arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedSlate:
    """A slate as it was served."""

    id: str
    timestamp: int
    """Milliseconds since 1970 in UTC."""
    items: Sequence[Id]
    """The best first."""
    artifact: str
    """The artifact that made it."""
    user: Id | None = None
    rung: str | None = None
    """The rung of a ladder that encoded the search text."""
    arms: Sequence[Assignment] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The slates of one arm, summed up over its units.

    The rate of a unit is the share of its slates that at least one positive event answers, in [0, 1].
    """

    arm: str
    units: int
    slates: int
    positive: int
    """Slates that at least one positive event answers."""
    total: float
    """The sum of the units' rates."""
    squares: float
    """The sum of the squares of the units' rates."""
