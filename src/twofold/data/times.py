"""Times of any common kind into whole milliseconds since 1970."""

import numpy as np
import polars as pl

from twofold.core.errors import DataError

__all__ = ["to_milliseconds"]

LARGEST = {"seconds": 10**11, "milliseconds": 10**14, "microseconds": 10**17}
"""A typical number below it counts this unit: as seconds, 10^11 is the year 5138. Above all, nanoseconds."""
LAST = 253_402_300_800_000
"""The year 10000; a time outside of the years that people write is no time."""
OFFSET = r":\d\d(?:\.\d+)?\s*([+-])(\d\d):?(\d\d)?$"
FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y%m%d",
    "%d-%m-%Y %H:%M:%S%.f",
    "%d-%m-%Y",
    "%d-%b-%Y",
)


def to_milliseconds(column: pl.Series) -> pl.Series:
    """Return times as Int64 milliseconds since 1970 in UTC; null where there is none.

    Whole numbers are seconds, milliseconds, microseconds or nanoseconds, told by the size of the median.
    Texts are numbers or ISO 8601, with or without an offset (without one they are UTC). Whole numbers
    never pass through a float.

    Raises:
        DataError: most of the values are no times.

    >>> to_milliseconds(pl.Series([964982703])).to_list()
    [964982703000]
    >>> to_milliseconds(pl.Series(["2000-07-30T18:45:03Z"])).to_list()
    [964982703000]
    """
    dtype = column.dtype
    if dtype == pl.Datetime:
        return column.dt.epoch("ms")
    if dtype == pl.Date:
        return column.cast(pl.Datetime("ms")).dt.epoch("ms")
    if dtype.is_integer():
        times = _from_whole(column.cast(pl.Int64, strict=False))
    elif dtype.is_float():
        times = _from_real(column.fill_nan(None))
    elif dtype == pl.Null:
        return column.cast(pl.Int64)
    else:
        times = _from_text(column.cast(pl.String))
    filled = len(column) - column.null_count()
    lost = times.null_count() - column.null_count()
    if 2 * lost > filled:
        sample = column.filter(times.is_null() & column.is_not_null())[0]
        raise DataError(
            f"most values of the column {column.name!r} are no times, such as {sample!r}; give seconds, milliseconds "
            "or ISO 8601, or map another column to 'timestamp'."
        )
    return times


def _from_whole(whole: pl.Series) -> pl.Series:
    typical = _typical(whole)
    unit = next((name for name, largest in LARGEST.items() if typical < largest), "nanoseconds")
    if unit == "seconds":
        times = _within(whole, LAST // 1000) * 1000
    elif unit == "milliseconds":
        times = whole
    else:
        times = whole // {"microseconds": 1_000, "nanoseconds": 1_000_000}[unit]
    return _within(times, LAST)


def _typical(numbers: pl.Series) -> float:
    """Return the median size of some thousand of the numbers."""
    some = numbers.gather_every(max(1, len(numbers) // 10_000)).drop_nulls()
    return float(np.median(np.abs(some.to_numpy()))) if len(some) else 0.0


def _within(whole: pl.Series, limit: int) -> pl.Series:
    """Return whole numbers, null where they are beyond the limit on either side."""
    low, high = whole.min(), whole.max()
    if low is None or (-limit < low and high < limit):  # type: ignore[operator]
        return whole
    return whole.set(~whole.is_between(-limit, limit, closed="none"), None)


def _from_real(real: pl.Series) -> pl.Series:
    if (real == real.floor()).all():
        return _from_whole(real.cast(pl.Int64, strict=False))
    scale = 1000.0 if _typical(real) < LARGEST["seconds"] else 1.0
    return (real * scale).round().cast(pl.Int64, strict=False)


def _from_text(text: pl.Series) -> pl.Series:
    numbers = text.str.strip_chars().cast(pl.Int64, strict=False)
    filled = len(text) - text.null_count()
    eight = text.head(1_000).str.contains(r"^\s*(19|20)\d{6}\s*$").all()
    if not eight and 2 * (len(numbers) - numbers.null_count()) > filled:
        return _from_whole(numbers)
    name = text.name
    clean = pl.col(name).str.strip_chars().str.replace(r"[Tt](\d)", " ${1}").str.replace_all("/", "-", literal=True)
    clean = clean.str.replace(r"\s*(?:Z|z|UTC|GMT)$", "")
    sign = pl.when(clean.str.extract(OFFSET, 1) == "-").then(-1).otherwise(1)
    hours = clean.str.extract(OFFSET, 2).cast(pl.Int64).fill_null(0)
    minutes = clean.str.extract(OFFSET, 3).cast(pl.Int64).fill_null(0)
    bare = clean.str.replace(r"(:\d\d(?:\.\d+)?)\s*[+-]\d\d:?(?:\d\d)?$", "${1}")
    parsed = pl.coalesce(
        *(bare.str.to_datetime(form, time_unit="ms", strict=False, ambiguous="earliest") for form in FORMATS)
    )
    shifted = parsed.dt.epoch("ms") - sign * (hours * 60 + minutes) * 60_000
    return text.to_frame().select(shifted.alias(name)).to_series()
