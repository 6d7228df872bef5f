"""Which column is what: guessed from common names, or given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from twofold.core.errors import DataError, nearest

__all__ = ["ColumnMapping", "guess_columns", "holds_ids"]

Wanted = Literal["interactions", "items", "users"]

USER = (
    "user userid uid visitor visitorid customer customerid client clientid member memberid reviewer reviewerid "
    "buyer buyerid account accountid person personid session sessionid"
)
ITEM = (
    "item itemid iid movie movieid product productid asin parentasin sku article articleid book bookid isbn song "
    "songid track trackid artist artistid video videoid doc docid document documentid news newsid course courseid "
    "recipe recipeid game gameid business businessid place placeid content contentid"
)
RATING = "rating ratings stars star score overall rate grade ratingvalue"
TIMESTAMP = (
    "timestamp timestamps ts time datetime date unixreviewtime eventtime eventtimestamp reviewtime createdat created "
    "unixtime when"
)
EVENT = "event eventtype action actiontype behavior behaviour behaviortype interaction interactiontype type"
TITLE = "title name itemname productname producttitle movietitle booktitle headline"
TEXT = "text description overview plot abstract summary synopsis content body details"
CATEGORIES = "categories category genres genre tags tag topics topic keywords labels department productcategory"

KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "interactions": {
        role: tuple(names.split())
        for role, names in {
            "user": USER,
            "item": ITEM,
            "rating": RATING,
            "timestamp": TIMESTAMP,
            "event": EVENT,
        }.items()
    },
    "items": {
        role: tuple(names.split())
        for role, names in {
            "item": f"{ITEM} id key",
            "title": TITLE,
            "text": TEXT,
            "categories": CATEGORIES,
        }.items()
    },
    "users": {"user": (*USER.split(), "id", "key")},
}
"""For each table its roles, and for each role the names that mean it, the surest first."""
NEEDED = {"interactions": ("user", "item"), "items": ("item",), "users": ("user",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Which column of a table plays which role."""

    columns: dict[str, str]
    """Role, such as `user`, to the name of the column."""
    guessed: tuple[str, ...] = ()
    """The roles that were guessed from a column's name."""

    def get(self, role: str) -> str | None:
        """Return the column that plays a role, or None."""
        return self.columns.get(role)


def guess_columns(
    frame_columns: Sequence[str], wanted: Wanted = "interactions", given: Mapping[str, str] | None = None
) -> ColumnMapping:
    """Find out which column plays which role.

    Names are compared without case and separators: `userId`, `User_ID` and `user id` are one. What is
    given wins; roles that belong to another kind of table are passed over.

    Args:
        frame_columns: the names of the columns.
        wanted: what the table holds.
        given: roles to columns.

    Raises:
        DataError: a role is unknown, a given column is missing, or no column holds the users or the items.

    >>> guess_columns(["userId", "movieId", "Rating"]).columns
    {'user': 'userId', 'item': 'movieId', 'rating': 'Rating'}
    """
    columns = _given(frame_columns, wanted, given or {})
    guessed = []
    for role, names in KNOWN[wanted].items():
        if role in columns:
            continue
        plain = {_plain(name): name for name in reversed(frame_columns) if name not in columns.values()}
        found = next((plain[name] for name in names if name in plain), None)
        if found is not None:
            columns[role] = found
            guessed.append(role)
    for role in NEEDED[wanted]:
        if role not in columns:
            raise DataError(
                f"no column of the {wanted} looks like the {role} among {_listed(frame_columns)}; say which one it is "
                f'with columns={{"{role}": "NAME"}} or --column {role}=NAME.'
            )
    return ColumnMapping(columns=columns, guessed=tuple(guessed))


def _given(frame_columns: Sequence[str], wanted: Wanted, given: Mapping[str, str]) -> dict[str, str]:
    """Return those of the given roles that a table can have; a catalogue may call its ids otherwise than a log."""
    roles = {role for table in KNOWN.values() for role in table}
    columns: dict[str, str] = {}
    for role, name in given.items():
        if role not in roles:
            raise DataError(f"a column cannot be mapped to {role!r}; {nearest(role, roles)}")
        if role not in KNOWN[wanted]:
            continue
        if name in frame_columns:
            columns[role] = name
        elif wanted == "interactions" or role not in KNOWN["interactions"]:
            raise DataError(f"the {wanted} have no column {name!r} for {role!r}; they have {_listed(frame_columns)}.")
    return columns


def holds_ids(name: str) -> bool:
    """Return whether a column's name says that it holds ids."""
    plain = _plain(name)
    return plain.endswith("id") or plain in KNOWN["users"]["user"] or plain in KNOWN["items"]["item"]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "no columns"
