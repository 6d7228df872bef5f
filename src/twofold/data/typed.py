"""Columns of text into columns with a type."""

from collections.abc import Callable, Collection

import polars as pl

from twofold.data.columns import holds_ids

__all__ = ["as_categories", "as_ids", "type_columns", "whole_numbers"]

ENOUGH = 0.95
"""A column is one of numbers where at least this share of its values is."""
PROBE = 1_000
CANONICAL = r"^(0|-?[1-9][0-9]*)$"
NOTHING = ("", "na", "n/a", "nan", "null", "none", "nil", r"\n", "-", "—", "–", "?")
"""What people write where there is no value."""
NO_CATEGORY = ("", "(no genres listed)", "unknown", "null", "none", "nan")


def type_columns(
    frame: pl.DataFrame, ids: Collection[str] = (), name: str = ""
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give each String column the type of what it holds, and return notes on values that did not fit.

    A column of ids, named in `ids` or by its own name, becomes Int64 only if every value is the one
    spelling of an int64. Another column becomes Int64, Float64 or Boolean if 95 % of its values are;
    the rest of them become null. Codes with leading zeros stay String.
    """
    notes: list[str] = []
    columns = frame.get_columns()
    del frame
    for place, column in enumerate(columns):
        if column.name in ids or holds_ids(column.name):
            columns[place] = as_ids(column.cast(pl.String) if column.dtype.is_float() else column)
        elif column.dtype.is_float():
            odd = ~column.is_finite()
            columns[place] = column.set(odd.fill_null(False), None) if odd.any() else column
        elif column.dtype == pl.String:
            columns[place], note = _as_numbers(column)
            notes += [f"{name}: {note}" if name else note] * bool(note)
    return pl.DataFrame(columns), tuple(notes)


def as_ids(column: pl.Series) -> pl.Series:
    """Return ids as Int64 if every one is a whole number in its one spelling, else as String.

    "007", "+7" and "7.0" are strings. Numbers that became floats because some were missing become whole
    again.

    >>> as_ids(pl.Series(["0", "196"])).to_list(), as_ids(pl.Series(["7", "007"])).to_list()
    ([0, 196], ['7', '007'])
    """
    if column.dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == column.null_count() else column.cast(pl.String)
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        exact = bool(((whole.cast(pl.Float64) == column) & (column.abs() <= 2.0**53)).all())
        return whole if exact and whole.null_count() == column.null_count() else column.cast(pl.String)
    if column.dtype == pl.Binary:
        column = column.cast(pl.String, strict=False)
    text = column if column.dtype == pl.String else column.cast(pl.String)
    for change in (_same, _stripped):
        numbers = whole_numbers(change(text))
        if numbers is not None:
            return numbers
    return text.set(text == "", None) if (text == "").any() else text


def whole_numbers(text: pl.Series) -> pl.Series | None:
    """Return texts as Int64 if each is the one spelling of an int64, so that nothing is lost; else None."""
    if not (text.head(PROBE).str.contains(CANONICAL).all() and text.str.contains(CANONICAL).all()):
        return None
    whole = text.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == text.null_count() else None


def _same(text: pl.Series) -> pl.Series:
    return text


def _stripped(text: pl.Series) -> pl.Series:
    """Return ids without spaces around them and without the words that mean nothing."""
    text = text.str.strip_chars()
    return text.set(text.str.to_lowercase().is_in(NOTHING), None)


def _as_numbers(column: pl.Series) -> tuple[pl.Series, str]:
    """Return a column as numbers or truth values where it holds these, with a note on what did not fit."""
    probe = column.drop_nulls().head(PROBE)
    if not len(probe) or probe.str.contains(r"^\s*[+-]?0\d").any():
        return column, ""
    read, change = max(
        ((_parsed(change(probe)).drop_nulls().len(), change) for change in (_same, _stripped, _with_point)),
        key=lambda pair: pair[0],
    )
    if read >= 0.5 * len(probe):
        return _numbers(column, change)
    truth = {"true": True, "false": False}
    if column.str.to_lowercase().is_in(list(truth)).all():
        return column.str.to_lowercase().replace_strict(truth, return_dtype=pl.Boolean), ""
    return column, ""


def _numbers(column: pl.Series, change: Callable[[pl.Series], pl.Series]) -> tuple[pl.Series, str]:
    changed = change(column)
    numbers = _parsed(changed)
    empty = changed.null_count()
    lost = numbers.null_count() - empty
    if lost:
        odd = changed.filter(numbers.is_null() & changed.is_not_null())
        said = odd.filter(~odd.str.strip_chars().str.to_lowercase().is_in(NOTHING))
        filled = len(changed) - empty - (len(odd) - len(said))
        if len(said) > (1 - ENOUGH) * filled or changed.str.contains(r"^\s*[+-]?0\d").any():
            return column, ""
        values = "1 value that is" if lost == 1 else f"{lost:,} values that are"
        return numbers, f"column {column.name!r} has {values} no number, such as {odd[0]!r}; read as missing"
    return (column, "") if changed.str.contains(r"^[+-]?0\d").any() else (numbers, "")


def _parsed(text: pl.Series) -> pl.Series:
    """Return Int64 where all that parses is whole, else Float64; null where it does not parse."""
    whole = text.cast(pl.Int64, strict=False)
    if whole.null_count() == text.null_count():
        return whole
    real = text.cast(pl.Float64, strict=False).fill_nan(None)
    real = real.set(real.is_infinite(), None)
    return whole if whole.null_count() == real.null_count() else real


def _with_point(text: pl.Series) -> pl.Series:
    """Return numbers such as 3,5 with a decimal point."""
    return _stripped(text).str.replace(r"^([+-]?\d+),(\d+)$", "${1}.${2}")


def as_categories(column: pl.Series) -> pl.Series:
    """Return categories as List[String]; a text is split at `|`, else at `;`, else at `,`.

    >>> as_categories(pl.Series(["Drama|War", "(no genres listed)", None])).to_list()
    [['Drama', 'War'], [], []]
    """
    if column.dtype != pl.List:
        text = column.cast(pl.String)
        mark = next((mark for mark in "|;" if text.str.contains(mark, literal=True).any()), ",")
        column = text.str.split(mark)
    listed = column.cast(pl.List(pl.String)).fill_null([])
    tidy = pl.element().str.strip_chars()
    kept = tidy.filter(tidy.is_not_null() & ~tidy.str.to_lowercase().is_in(NO_CATEGORY))
    return listed.to_frame().select(pl.first().list.eval(kept)).to_series()
