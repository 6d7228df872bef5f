"""`CleaningReport`: what cleaning found and did."""

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["CleaningReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningReport:
    """What cleaning found and did, in the order of its steps."""

    source: str = ""
    rows_read: int = 0
    """Rows of interactions, the malformed ones among them."""
    rows_kept: int = 0
    users: int = 0
    items: int = 0
    malformed: int = 0
    """Lines of all files that could not be read as rows."""
    missing: dict[str, int] = field(default_factory=dict)
    """Rows without a user, an item or a value, by reason."""
    filled: dict[str, int] = field(default_factory=dict)
    """Values that were filled by a stated rule, by reason."""
    duplicates: int = 0
    """Rows of the same user, item and time as a later one."""
    bots: dict[str, int] = field(default_factory=dict)
    """Users with too many events, who were set aside whole, and how many events each had."""
    rare: int = 0
    """Rows of users or items with too few events."""
    catalogue_duplicates: int = 0
    """Rows of the catalogue with the id of an earlier one."""
    unknown_items: int = 0
    """Items with events that the catalogue does not describe."""
    silent_items: int = 0
    """Items of the catalogue without an event."""
    likes: int = 0
    neutral: int = 0
    dislikes: int = 0
    rule: str = ""
    """How ratings or events became signed feedback."""
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each table, which column plays which role."""
    guessed: dict[str, list[str]] = field(default_factory=dict)
    """For each table, the roles that were guessed from names."""
    first: str | None = None
    """The earliest known time, ISO 8601 in UTC."""
    last: str | None = None
    notes: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    """The first rows that were set aside: line, reason and text."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return asdict(self)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What was found, as pairs of texts for a table; what was not found is left out."""
        return [(name.replace("_", " "), _spoken(value)) for name, value in asdict(self).items() if value]


def _spoken(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_spoken(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
