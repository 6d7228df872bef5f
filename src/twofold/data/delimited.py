"""Delimited text into a table of strings; lines with too few or too many fields are set aside."""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.errors import DataError
from twofold.data.table import Lines, Table, rejections
from twofold.data.typed import whole_numbers

__all__ = ["parse_delimited"]

DELIMITERS = ("::", "\t", ",", ";", "|", " ")
"""Tried in this order where none is given; the one that makes most columns wins, a space only as the last resort."""
NAMES = {"\t": "a tab", " ": "spaces", ",": "a comma", ";": "a semicolon", "|": "a bar", "::": "two colons"}
SAMPLE = 100
QUOTE, NEWLINE = ord('"'), ord("\n")
BLOCK = 1 << 16
"""Records parsed at once."""
BLOCK_BYTES = 1 << 20
PROBE = 100
LONGEST_RECORD = 1_000
"""A quoted field that goes on for more lines than this was never closed."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parse_delimited(
    data: bytes, name: str, *, delimiter: str | None = None, columns: Sequence[str] | None = None
) -> Table:
    r"""Parse UTF-8 bytes with `\n` as line end into columns of strings; an empty field is null.

    Args:
        data: the text.
        name: the file's name, for messages.
        delimiter: what separates fields, of one or more characters; guessed where None.
        columns: the names of the columns, where the first line does not hold them.

    Raises:
        DataError: the delimiter does not fit, or most lines do not have as many fields as the first.
    """
    sample = _sample(data)
    if not sample:
        raise DataError(f"{name} is empty; give a file with rows.")
    fitting, width = _sniff(sample)
    if delimiter is not None and len(_fields(sample[0], delimiter)) == 1 and fitting != delimiter and width > 1:
        raise DataError(
            f"the first line of {name} does not hold {_spoken(delimiter)}, but {_spoken(fitting)} would give "
            f"{width} columns; read it with delimiter={fitting!r}."
        )
    notes: tuple[str, ...] = ()
    if delimiter is None:
        delimiter = fitting
        notes = (f"{name}: fields separated by {_spoken(delimiter)}",) if delimiter != "," else ()
    data, mark = _with_one_byte(data, delimiter)
    quoted = b'"' in data and len(delimiter) == 1
    plain = _without_quotes(data, mark) if quoted else None
    if plain is not None:
        data, quoted = plain, False
    del plain
    if delimiter == " " and not quoted:
        data = re.sub(rb"(?m)^ +| +$", b"", re.sub(rb" {2,}", b" ", data))
    first = _fields(sample[0], delimiter)
    headed = columns is None and not all(NUMBER.fullmatch(field.strip()) for field in first)
    names = _unique(first if headed else columns or [f"column_{n}" for n in range(1, len(first) + 1)])
    longest = csv.field_size_limit(max(len(data), 1 << 17))  # of the whole process, so it is set back
    try:
        frame, lines, bad = (_parse_quoted if quoted else _parse_plain)(data, mark, names, headed)
    finally:
        csv.field_size_limit(longest)
    rejected = [
        (
            line,
            f"{found} field{'s' * (found > 1)} instead of {len(names)}"
            if found
            else "a quote is opened and not closed",
            text,
        )
        for line, found, text in bad
    ]
    if len(rejected) > len(frame):
        line, reason, _ = rejected[0]
        raise DataError(
            f"{len(rejected):,} of {len(rejected) + len(frame):,} lines of {name} cannot be read (line {line:,}: "
            f"{reason}); check the delimiter ({_spoken(delimiter)} was used) and the header."
        )
    shown = [(line, reason, text.replace(mark, delimiter)) for line, reason, text in rejected]
    return Table(frame=frame, lines=lines, rejected=rejections(shown), notes=notes)


def _sample(data: bytes) -> list[str]:
    """Return the first lines that are not blank."""
    lines: list[str] = []
    start = 0
    while start < len(data) and len(lines) < SAMPLE:
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end].decode("utf-8", "replace")
        if line.strip():
            lines.append(line)
        start = end + 1
    return lines


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        line = " ".join(line.split())
    if '"' not in line:
        return line.split(delimiter)
    if len(delimiter) > 1:
        line, delimiter = line.replace(delimiter, "\x1f"), "\x1f"
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return line.split(delimiter)


def _sniff(sample: list[str]) -> tuple[str, int]:
    """Return the delimiter that fits, and how many columns it makes; a comma and 1 where none does."""
    fits: dict[str, int] = {}
    steady: dict[str, bool] = {}
    for delimiter in DELIMITERS:
        widths = [len(_fields(line, delimiter)) for line in sample]
        share = widths.count(widths[0]) / len(widths)
        if widths[0] > 1 and share > 0.5:
            fits[delimiter], steady[delimiter] = widths[0], share >= 0.9
    if len(fits) > 1:
        fits.pop(" ", None)
    best = max(fits, key=lambda delimiter: (steady[delimiter], fits[delimiter]), default=",")
    return best, fits.get(best, 1)


def _spoken(delimiter: str) -> str:
    return NAMES.get(delimiter, repr(delimiter))


def _with_one_byte(data: bytes, delimiter: str) -> tuple[bytes, str]:
    """Put one byte that the text does not hold in place of a delimiter of several."""
    encoded = delimiter.encode()
    if len(encoded) == 1:
        return data, delimiter
    for mark in (b"\x1f", b"\x1e", b"\x1d", b"\x01", b"\x02"):
        if mark not in data:
            return data.replace(encoded, mark), mark.decode()
    raise DataError(f"the text holds every character that could stand for {delimiter!r}; use another delimiter.")


def _unique(names: Sequence[str]) -> list[str]:
    unique: list[str] = []
    for place, raw in enumerate(names, 1):
        name = raw.strip() or f"column_{place}"
        unique.append(name if name not in unique else f"{name}_{place}")
    return unique


Bytes = npt.NDArray[np.uint8]
Bad = list[tuple[int, int, str]]
"""Line, number of fields (0 for an unclosed quote), text."""


def _parse_plain(data: bytes, mark: str, names: list[str], headed: bool) -> tuple[pl.DataFrame, Lines, Bad]:
    """Parse text without a quote character, where a line is a record, in blocks that keep memory low."""
    frames = [pl.DataFrame(schema=dict.fromkeys(names, pl.String))]
    options: dict[str, Any] = {"separator": mark, "quote_char": None, "infer_schema": False}
    numbers: list[Lines] = [np.empty(0, np.int64)]
    bad: Bad = []
    at, before = 0, 0
    while at < len(data):
        stop = data.find(b"\n", at + BLOCK_BYTES) + 1 or len(data)
        starts, ends, counts = _scan(np.frombuffer(data, np.uint8, stop - at, at), ord(mark))
        row = starts != ends
        if headed and row.any():
            row[np.argmax(row)] = headed = False
        good, wrong = np.flatnonzero(row & (counts == len(names))), np.flatnonzero(row & (counts != len(names)))
        bad += [
            (before + int(n) + 1, int(counts[n]), data[at + starts[n] : at + ends[n]].decode("utf-8")) for n in wrong
        ]
        if len(good):
            text = _joined(memoryview(data)[at:stop], starts, ends, good)
            frames.append(_narrow(pl.read_csv(text, has_header=False, new_columns=names, **options)))
            assert len(frames[-1]) == len(good)
            numbers.append(before + good + 1)
        at, before = stop, before + len(ends)
    return _stacked(frames), np.concatenate(numbers), bad


def _scan(raw: Bytes, mark: int) -> tuple[Lines, Lines, Lines]:
    """Return where each line starts and ends, and how many fields it has."""
    ends = np.flatnonzero(raw == NEWLINE)
    if raw[-1] != NEWLINE:
        ends = np.append(ends, len(raw))
    starts = np.concatenate(([0], ends[:-1] + 1))
    counts = np.diff(np.searchsorted(np.flatnonzero(raw == mark), ends), prepend=0) + 1
    return starts, ends, counts


def _joined(data: memoryview, starts: Lines, ends: Lines, lines: Lines) -> bytes:
    """Return the text of the given lines, which rise; runs of neighbours are copied at once."""
    edges = np.flatnonzero(np.diff(lines) != 1)
    firsts, lasts = np.concatenate((lines[:1], lines[edges + 1])), np.concatenate((lines[edges], lines[-1:]))
    return b"\n".join(data[starts[a] : ends[b]] for a, b in zip(firsts, lasts, strict=True))


def _narrow(frame: pl.DataFrame) -> pl.DataFrame:
    """Hold numbers whose text can be told from them as numbers, which take half the memory of text."""
    return pl.DataFrame([_exact_numbers(column) for column in frame])


def _exact_numbers(text: pl.Series) -> pl.Series:
    if text.null_count() == len(text):
        return text
    whole = whole_numbers(text)
    if whole is not None:
        return whole
    if text.head(PROBE).cast(pl.Float64, strict=False).null_count() > text.head(PROBE).null_count():
        return text
    real = text.cast(pl.Float64, strict=False)
    return real if bool((real.cast(pl.String).eq_missing(text)).all()) else text


def _stacked(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Put blocks below each other; where they hold a column in several types, numbers are spelt again."""
    columns = []
    for name in frames[0].columns:
        parts = [frame[name] for frame in frames if len(frame)] or [frames[0][name]]
        if len({part.dtype for part in parts}) > 1:
            parts = [part.cast(pl.String) for part in parts]
        columns.append(pl.concat(parts, rechunk=False))
        for place, frame in enumerate(frames):
            frames[place] = frame.drop(name)
    return pl.DataFrame(columns)


def _without_quotes(data: bytes, mark: str) -> bytes | None:
    """Return the text without its quotes where each pair merely wraps one plain field, else None."""
    parts, at = [], 0
    while at < len(data):
        stop = data.find(b"\n", at + BLOCK_BYTES) + 1 or len(data)
        raw = np.frombuffer(data, np.uint8, stop - at, at)
        quotes = np.flatnonzero(raw == QUOTE)
        if len(quotes) % 2:
            return None
        opening, closing = quotes[::2], quotes[1::2]
        separates = (raw == ord(mark)) | (raw == NEWLINE)
        outside = separates[opening[opening > 0] - 1].all() and separates[closing[closing < len(raw) - 1] + 1].all()
        inside = np.searchsorted(np.flatnonzero(separates), quotes)
        if not outside or (inside[::2] != inside[1::2]).any():
            return None
        parts.append(raw[raw != QUOTE].tobytes())
        at = stop
    return b"".join(parts)


def _parse_quoted(data: bytes, mark: str, names: list[str], headed: bool) -> tuple[pl.DataFrame, Lines, Bad]:
    """Parse text with quotes: a record may span lines."""
    bad: Bad = []
    schema = dict.fromkeys(names, pl.String)
    frames = [pl.DataFrame(schema=schema)]
    lines: list[int] = []
    rows: list[list[str]] = []

    def flush() -> None:
        if rows:
            block = pl.DataFrame(dict(zip(names, zip(*rows, strict=True), strict=True)), schema=schema)
            frames.append(_narrow(block.with_columns(pl.when(pl.all() != "").then(pl.all()))))
            rows.clear()

    for line, fields, text in _records(data.decode("utf-8").split("\n"), mark):
        if headed:
            headed = False
        elif len(fields) != len(names):
            bad.append((line, len(fields), text))
        else:
            rows.append(fields)
            lines.append(line)
            if len(rows) == BLOCK:
                flush()
    flush()
    return _stacked(frames), np.array(lines, np.int64), bad


def _records(lines: list[str], mark: str) -> Iterator[tuple[int, list[str], str]]:
    """Give each record's first line, counted from 1, its fields (none where it never ends) and its text."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if '"' not in line:
            if line:
                yield at + 1, line.split(mark), line
            at += 1
            continue
        fields, used = _quoted(lines, at, mark)
        yield at + 1, fields, line
        at += used


def _quoted(lines: list[str], at: int, mark: str) -> tuple[list[str], int]:
    """Read a record that holds quotes; no fields and one line where it is never closed."""
    for used in range(1, min(LONGEST_RECORD, len(lines) - at) + 1):
        if used > 1 and '"' not in lines[at + used - 1]:
            continue
        record = [f"{line}\n" for line in lines[at : at + used - 1]] + [lines[at + used - 1]]
        try:
            return next(csv.reader(record, delimiter=mark, strict=True)), used
        except csv.Error as error:
            if "unexpected end" in str(error):
                continue
            return ([], 1) if used > 1 else (_loosely(lines[at], mark), 1)
    return [], 1


def _loosely(line: str, mark: str) -> list[str]:
    """Read a line with text behind a closing quote."""
    try:
        return next(csv.reader([line], delimiter=mark))
    except csv.Error:
        return []
