"""The rules of cleaning: which events are used, what each is worth and when it happened."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.errors import DataError
from twofold.core.ids import Codes, IdMap
from twofold.data.feedback import rating_scale, signed_ratings, values_of_events
from twofold.data.table import LONGEST, Lines
from twofold.data.times import to_milliseconds
from twofold.data.typed import as_ids

__all__ = ["Cleaning", "Log", "apply_rules", "select_events"]

BLOCK = 1 << 17
MIXER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """Options of cleaning.

    A rating r becomes the signed value (r - neutral) / (highest - neutral), held within [-1, 1]: above
    neutral a like, below it a dislike. Where there is no rating, the kind of event says the value;
    where there is neither, an event is a like of value 1.
    """

    neutral: float | None = None
    """The rating that is neither a like nor a dislike. None: six tenths of the highest (3 of 5 stars, 6 of
    10), or 0 where ratings go below 0."""
    highest: float | None = None
    """The highest rating there can be. None: the end of the usual scale (1, 5, 10 or 100) that holds all."""
    event_values: dict[str, float] = field(default_factory=dict)
    """Values in [-1, 1] of kinds of events, laid over the defaults of `EVENT_VALUES`."""
    missing_rating: Literal["drop", "neutral", "like"] = "drop"
    """What becomes of an event that has neither rating nor known kind where others have: set aside, or
    filled with 0 or 1."""
    missing_time: Literal["previous", "drop"] = "previous"
    """What becomes of an event without a time where others have one: it gets the time of the user's event
    before it in the file (else of the one after it, else 0), or is set aside."""
    duplicates: Literal["last", "keep"] = "last"
    """Of rows with one user, item and time the last is kept, or all are."""
    bot_events: int = 20_000
    """A user with more events than this is set aside whole; 0 for no limit."""
    min_user_events: int = 0
    """Users with fewer events are left out, over and over until no rule strikes."""
    min_item_events: int = 0
    """Events of items with fewer events are left out, over and over until no rule strikes."""

    def __post_init__(self) -> None:
        if min(self.bot_events, self.min_user_events, self.min_item_events) < 0:
            raise ValueError("bot_events, min_user_events and min_item_events must be 0 or more.")
        if not all(-1 <= value <= 1 for value in self.event_values.values()):
            raise ValueError("event_values must lie within -1 and 1.")


class Log:
    """The events that are still in, and those that were set aside.

    Users and items are codes here, positions in `ids`, or -1 for none: that takes half the memory.
    """

    frame: pl.DataFrame
    """`line`, `user`, `item`, `timestamp` (null where unknown) and `value` (null where missing)."""
    ids: dict[str, pl.Series]
    """The distinct ids of `user` and `item`, in order of appearance."""
    rejected: list[pl.DataFrame]

    def __init__(self, lines: Lines, columns: dict[str, pl.Series]) -> None:
        self.rejected = []
        self.ids = {}
        coded = [pl.Series("line", lines.astype(np.int32) if len(lines) and lines[-1] < 2**31 else lines)]
        for role in ("user", "item"):
            ids = as_ids(columns.pop(role))
            self.ids[role] = ids.unique(maintain_order=True).drop_nulls()
            coded.append(pl.Series(role, _codes(ids, IdMap(self.ids[role]))))
        self.frame = pl.DataFrame(coded)

    def codes(self, role: str) -> Codes:
        """Return the codes of `user` or `item`, shape [events]."""
        return self.frame[role].to_numpy()

    def set_aside(self, bad: pl.Series | npt.NDArray[np.bool_], reason: str) -> int:
        """Take out the rows for which `bad` holds and return how many there are."""
        bad = pl.Series(bad)
        count = int(bad.sum())
        if count:
            rows = self.frame.filter(bad)
            named = [
                pl.Series(role, self.ids[role].gather(rows[role].replace(-1, None)).cast(pl.String).fill_null("?"))
                for role in ("user", "item")
            ]
            text = pl.format("user={} item={}", *(role.name for role in named)).str.slice(0, LONGEST)
            shown = pl.DataFrame(named).select(text.alias("text"))["text"]
            self.rejected.append(rows.select(pl.col("line").cast(pl.Int64), pl.lit(reason).alias("reason"), shown))
            self.frame = self.frame.filter(~bad)
        return count


def _codes(ids: pl.Series, known: IdMap) -> Codes:
    """Encode a long column piece by piece, which keeps memory low."""
    pieces = [known.encode_series(ids.slice(first, BLOCK)) for first in range(0, len(ids), BLOCK)]
    return np.concatenate([np.empty(0, np.int32), *pieces])


def select_events(
    lines: Lines, columns: dict[str, pl.Series], options: Cleaning, found: dict[str, Any], notes: list[str]
) -> Log:
    """Return the events that columns describe; how they were valued goes into `found`.

    Args:
        lines: where each row was.
        columns: role to column; emptied on the way, so that memory is let go before more is taken.
        options: the options of cleaning.
        found: what the report will say.
        notes: what the reader should know.
    """
    size = len(lines)
    log = Log(lines, columns)
    times = pl.Series([0], dtype=pl.Int64).new_from_index(0, size)
    if "timestamp" in columns:
        raw = columns.pop("timestamp")
        times = to_milliseconds(raw)
        lost = times.null_count() - raw.null_count()
        notes += [f"column {raw.name!r} has {lost:,} values that are no time; read as missing"] * bool(lost)
        del raw
    else:
        notes.append("no column of times, so the order of the file is the order of events")
    log.frame = log.frame.with_columns(times.alias("timestamp"))
    del times
    value = _values(columns, options, found, notes)
    log.frame = log.frame.with_columns((value if len(value) == size else value.new_from_index(0, size)).alias("value"))
    return log


def _values(columns: dict[str, pl.Series], options: Cleaning, found: dict[str, Any], notes: list[str]) -> pl.Series:
    """Return what each event is worth, null where nothing says it; one value where all are worth the same."""
    rules, value = [], None
    if "event" in columns:
        events = columns.pop("event")
        value = values_of_events(events, options.event_values)
        rules.append(f"the kinds of events in {events.name!r} have values")
    if "rating" in columns and columns["rating"].is_null().all():
        notes.append(f"the column {columns.pop('rating').name!r} is empty, so it is passed over")
    if "rating" in columns:
        raw = columns.pop("rating")
        ratings = _as_ratings(raw)
        neutral, highest = rating_scale(ratings, options.neutral, options.highest)
        rules.append(f"{raw.name!r}: value = (rating - {neutral:g}) / ({highest:g} - {neutral:g}), within -1 and 1")
        del raw
        signed = signed_ratings(ratings, neutral, highest)
        value = signed if value is None else signed.zip_with(signed.is_not_null(), value.alias(signed.name))
    if value is None:
        value = pl.Series([1.0], dtype=pl.Float32)
        rules.append("no rating and no kind of event: each event is a like of value 1")
    found["rule"] = "; ".join(rules)
    return value


def _as_ratings(column: pl.Series) -> pl.Series:
    ratings = column.cast(pl.Float64, strict=False)
    odd = ~ratings.is_finite()
    if odd.any():
        ratings = ratings.set(odd.fill_null(False), None)
    filled = len(column) - column.null_count()
    if 2 * ratings.null_count() > len(column) + column.null_count() and filled:
        raise DataError(
            f"most values of the column {column.name!r} are no numbers, such as {column.drop_nulls()[0]!r}; "
            "map another column to 'rating' or 'event'."
        )
    return ratings


def apply_rules(log: Log, options: Cleaning, found: dict[str, Any]) -> None:
    """Set aside what cannot be used, and fill what the options say; counts go into `found`."""
    missing: dict[str, int] = {}
    filled: dict[str, int] = {}
    for role in ("user", "item"):
        missing[f"no {role}"] = log.set_aside(log.codes(role) < 0, f"no {role}")
    _missing_values(log, options, missing, filled)
    _missing_times(log, options, missing, filled)
    found["missing"] = {reason: count for reason, count in missing.items() if count}
    found["filled"] = {reason: count for reason, count in filled.items() if count}
    found["bots"] = _bots(log, options.bot_events)
    if options.duplicates == "last":
        found["duplicates"] = log.set_aside(_repeated(log), "the same user, item and time as a later row")
    found["rare"] = _rare(log, options)


def _missing_values(log: Log, options: Cleaning, missing: dict[str, int], filled: dict[str, int]) -> None:
    if log.frame["value"].null_count() == 0:
        return
    if options.missing_rating == "drop":
        missing["no rating or known kind of event"] = log.set_aside(
            log.frame["value"].is_null(), "no rating or known kind of event"
        )
        return
    value = 0.0 if options.missing_rating == "neutral" else 1.0
    filled[f"rating, as {options.missing_rating}"] = log.frame["value"].null_count()
    log.frame = log.frame.with_columns(pl.col("value").fill_null(value))


def _missing_times(log: Log, options: Cleaning, missing: dict[str, int], filled: dict[str, int]) -> None:
    if log.frame["timestamp"].null_count() == 0:
        return
    if options.missing_time == "drop":
        missing["no time"] = log.set_aside(log.frame["timestamp"].is_null(), "no time")
        return
    filled["time, from the event before it"] = log.frame["timestamp"].null_count()
    near = pl.col("timestamp").forward_fill().backward_fill().over("user").fill_null(0)
    log.frame = log.frame.with_columns(near)


def _bots(log: Log, most: int) -> dict[str, int]:
    """Set aside users with more events than a person has."""
    counts = np.bincount(log.codes("user"), minlength=len(log.ids["user"]))
    bots = np.flatnonzero(counts > most) if most else np.empty(0, np.int64)
    if len(bots):
        log.set_aside(np.isin(log.codes("user"), bots), f"a user with over {most:,} events")
    return {str(user): int(count) for user, count in zip(log.ids["user"].gather(bots), counts[bots], strict=True)}


def _repeated(log: Log) -> npt.NDArray[np.bool_]:
    """Return which rows have the user, item and time of a later row.

    Rows whose hash no other row has are passed over, so that few have to be put in order.
    """
    users, items, times = log.codes("user"), log.codes("item"), log.frame["timestamp"].to_numpy()
    hashes = np.empty(len(users), np.uint32)
    for first in range(0, len(users), BLOCK):
        block = slice(first, first + BLOCK)
        mixed = users[block].astype(np.uint64)
        for part in (items[block], times[block]):
            mixed *= MIXER
            mixed ^= mixed >> np.uint64(29)
            mixed += part.astype(np.uint64)
        hashes[block] = mixed >> np.uint64(32)
    ordered = np.sort(hashes)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    rows = _members(hashes, twice)
    rows = rows[np.lexsort((times[rows], items[rows], users[rows]))]
    before, after = rows[:-1], rows[1:]
    same = (users[before] == users[after]) & (items[before] == items[after]) & (times[before] == times[after])
    repeated = np.zeros(len(users), bool)
    repeated[before[same]] = True
    return repeated


def _members(hashes: npt.NDArray[np.uint32], twice: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Return where the hashes are that stand among the sorted few, piece by piece, which keeps memory low."""
    rows = [np.empty(0, np.int64)]
    for first in range(0, len(hashes), BLOCK) if len(twice) else ():
        piece = hashes[first : first + BLOCK]
        place = np.minimum(np.searchsorted(twice, piece), len(twice) - 1)
        rows.append(first + np.flatnonzero(twice[place] == piece))
    return np.concatenate(rows)


def _rare(log: Log, options: Cleaning) -> int:
    """Set aside events of users and items with few, until none is left; return how many events that were."""
    total, struck = 0, 1
    while struck:
        struck = 0
        for role, least in (("user", options.min_user_events), ("item", options.min_item_events)):
            if least > 1:
                codes = log.codes(role)
                few = np.bincount(codes, minlength=len(log.ids[role])) < least
                struck += log.set_aside(few[codes], f"fewer than {least} events of the {role}")
        total += struck
    return total
