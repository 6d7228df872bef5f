"""The rules of cleaning: which events are used, what each is worth and when it happened."""

from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from twofold.core.errors import DataError
from twofold.data.columns import ColumnMapping
from twofold.data.feedback import rating_scale, signed_ratings, values_of_events
from twofold.data.table import LONGEST, Table
from twofold.data.times import to_milliseconds
from twofold.data.typed import as_ids

__all__ = ["Cleaning", "Log", "apply_rules", "select_events"]


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
    """The events that are still in, and those that were set aside."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.rejected: list[pl.DataFrame] = []

    def set_aside(self, bad: pl.Series, reason: str) -> int:
        """Take out the rows for which `bad` holds and return how many there are."""
        count = int(bad.sum())
        if count:
            shown = [
                pl.format(f"{name}={{}}", pl.col(name).cast(pl.String).fill_null("?")) for name in ("user", "item")
            ]
            text = pl.concat_str(shown, separator=" ").str.slice(0, LONGEST).alias("text")
            self.rejected.append(self.frame.filter(bad).select("line", pl.lit(reason).alias("reason"), text))
            self.frame = self.frame.filter(~bad)
        return count


def select_events(
    table: Table, mapping: ColumnMapping, options: Cleaning, found: dict[str, Any], notes: list[str]
) -> pl.DataFrame:
    """Return `line`, `user`, `item`, `timestamp` (null where unknown) and `value` (null where missing)."""
    frame = table.frame
    rating, event, time = (mapping.get(role) for role in ("rating", "event", "timestamp"))
    value = pl.Series("value", [], pl.Float32).extend_constant(None, len(frame))
    rules = []
    if event is not None:
        value = values_of_events(frame[event], options.event_values).alias("value")
        rules.append(f"the kinds of events in {event!r} have values")
    if rating is not None:
        stars = _as_ratings(frame[rating])
        neutral, highest = rating_scale(stars, options.neutral, options.highest)
        rules.append(f"{rating!r}: value = (rating - {neutral:g}) / ({highest:g} - {neutral:g}), within -1 and 1")
        signed = signed_ratings(stars, neutral, highest).alias("value")
        value = signed if event is None else signed.zip_with(signed.is_not_null(), value)
    if not rules:
        value = pl.Series("value", [], pl.Float32).extend_constant(1.0, len(frame))
        rules.append("no rating and no kind of event: each event is a like of value 1")
    found["rule"] = "; ".join(rules)
    times = pl.Series("timestamp", [], pl.Int64).extend_constant(0, len(frame))
    if time is not None:
        times = to_milliseconds(frame[time]).alias("timestamp")
        lost = times.null_count() - frame[time].null_count()
        notes += [f"column {time!r} has {lost:,} values that are no time; read as missing"] * bool(lost)
    else:
        notes.append("no column of times, so the order of the file is the order of events")
    ids = [as_ids(frame[mapping.columns[role]]).alias(role) for role in ("user", "item")]
    return pl.DataFrame([pl.Series("line", table.lines), *ids, times, value])


def _as_ratings(column: pl.Series) -> pl.Series:
    ratings = (
        column.cast(pl.Float64, strict=False).fill_nan(None) if column.dtype != pl.Float64 else column.fill_nan(None)
    )
    ratings = ratings.set(ratings.is_infinite(), None) if ratings.is_infinite().any() else ratings
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
        missing[f"no {role}"] = log.set_aside(log.frame[role].is_null(), f"no {role}")
    _missing_values(log, options, missing, filled)
    _missing_times(log, options, missing, filled)
    found["missing"] = {reason: count for reason, count in missing.items() if count}
    found["filled"] = {reason: count for reason, count in filled.items() if count}
    if options.bot_events:
        counts = log.frame["user"].value_counts().filter(pl.col("count") > options.bot_events)
        found["bots"] = {str(user): count for user, count in counts.sort("count", descending=True).iter_rows()}
        if len(counts):
            log.set_aside(
                log.frame["user"].is_in(counts["user"].implode()), f"a user with over {options.bot_events:,} events"
            )
    if options.duplicates == "last":
        found["duplicates"] = log.set_aside(_repeated(log.frame), "the same user, item and time as a later row")
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


def _repeated(frame: pl.DataFrame) -> pl.Series:
    """Return which rows have the user, item and time of a later row."""
    return ~frame.select(pl.struct("user", "item", "timestamp").is_last_distinct()).to_series()


def _rare(log: Log, options: Cleaning) -> int:
    total = 0
    limits = {"user": options.min_user_events, "item": options.min_item_events}
    limits = {role: limit for role, limit in limits.items() if limit > 1}
    while True:
        struck = sum(
            log.set_aside(
                log.frame.select(pl.len().over(role) < limit).to_series(), f"fewer than {limit} events of the {role}"
            )
            for role, limit in limits.items()
        )
        if not struck:
            return total
        total += struck
