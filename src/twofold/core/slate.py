"""`Slate`: the answer to a query."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from twofold.core.ids import Id
from twofold.core.ladder import Setting

__all__ = ["Pick", "Slate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One item of a slate."""

    item: Id
    title: str
    score: float
    """The pipeline's fused score; comparable within one slate only."""
    sources: dict[str, float]
    """What each retriever that found the item gave it, in the retriever's own units."""
    reason: str
    """Why the item is here, in plain words."""
    snippet: str | None = None
    """Where a search text matched: HTML whose only tags are <b>."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slate:
    """An ordered list of items, the best first, and how it came about."""

    picks: tuple[Pick, ...]
    id: str
    """Unique; events that name it are attributed to it."""
    shortfall: str | None = None
    """Why there are fewer than k picks; None where there are k."""
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Time spent in each stage; none where the slate was kept from before."""
    rung: str | None = None
    """Which step of a server's ladder made it; None where there is no ladder."""
    settings: dict[str, Setting] = field(default_factory=dict)
    """Which rung and how many candidates each stage used that the ladder sets."""
    arms: dict[str, str] = field(default_factory=dict)
    """For each experiment that the slate is part of, the arm that it came by."""
    attributes: tuple[Mapping[str, Any], ...] = ()
    """For each pick, the columns of the catalogue that the question wanted to see."""

    def __len__(self) -> int:
        return len(self.picks)

    @property
    def items(self) -> list[Id]:
        """The ids of the picks, the best first."""
        return [pick.item for pick in self.picks]

    def as_dict(self) -> dict[str, Any]:
        """Return the slate as plain values for JSON."""
        return asdict(self)
