"""Files of rows: delimited text, JSON lines and Parquet."""

import io
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from twofold.core.errors import DataError
from twofold.data.delimited import parse_delimited
from twofold.data.encoding import read_bytes, to_utf8
from twofold.data.table import Table, rejections
from twofold.data.typed import type_columns

__all__ = ["read_table"]

PARQUET = b"PAR1"
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


def read_table(
    path: Path | str,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    columns: Sequence[str] | None = None,
    ids: Collection[str] = (),
) -> Table:
    """Read a file of rows; what cannot be read is set aside with its line and the reason.

    Delimited text (CSV, TSV and the like), JSON lines or Parquet, told by content and suffix; any of
    them may be compressed with gzip.

    Args:
        path: the file.
        delimiter: what separates fields, of one or more characters; guessed where None.
        encoding: how characters are written; where None, UTF-8, and Latin-1 for bytes that are not.
        columns: the names of the columns of a text whose first line does not hold them.
        ids: columns that hold ids, beside those whose name says so; see `type_columns`.

    Raises:
        DataError: the file is missing, empty or damaged, changed while it was read, or most of it is bad.
    """
    path = Path(path)
    data = read_bytes(path)
    if data.startswith(PARQUET):
        try:
            return Table.of(pl.read_parquet(io.BytesIO(data)))
        except (pl.exceptions.PolarsError, OSError):
            raise DataError(f"{path} is a damaged Parquet file; write it again.") from None
    data, notes = to_utf8(data, path.name, encoding)
    if path.name.removesuffix(".gz").endswith(JSON_SUFFIXES):
        table = _parse_json_lines(data, path.name)
    else:
        table = parse_delimited(data, path.name, delimiter=delimiter, columns=columns)
    del data
    lines, rejected, notes = table.lines, table.rejected, (*notes, *table.notes)
    frame = table.frame
    del table  # the frame of strings is let go column by column
    frame, more = type_columns(frame, ids, path.name)
    return Table(frame=frame, lines=lines, rejected=rejected, notes=(*notes, *more))


def _parse_json_lines(data: bytes, name: str) -> Table:
    rows, lines, bad = [], [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("it is no object")
            if b"\\ud" in line.lower():
                json.dumps(row, ensure_ascii=False).encode("utf-8")  # half of a pair of surrogates is no text
        except (ValueError, RecursionError) as error:
            bad.append((number, f"no JSON object ({error})", line.decode("utf-8", "replace")))
        else:
            rows.append(row)
            lines.append(number)
    if len(bad) > len(rows):
        number, reason, _ = bad[0]
        raise DataError(
            f"{len(bad):,} of {len(bad) + len(rows):,} lines of {name} cannot be read (line {number:,}: {reason}); "
            "give one JSON object a line."
        )
    names = dict.fromkeys(key for row in rows for key in row)
    frame = pl.DataFrame([_column(key, [row.get(key) for row in rows]) for key in names])
    return Table(frame=frame, lines=np.array(lines, np.int64), rejected=rejections(bad))


def _column(name: str, values: list[Any]) -> pl.Series:
    """Make a column of JSON values: of one type where they have one, else of strings."""
    kinds = {type(value) for value in values if value is not None}
    if kinds in ({int}, {bool}, {str}, set()):
        try:
            return pl.Series(name, values)
        except OverflowError:
            return pl.Series(name, [None if value is None else str(value) for value in values])
    if kinds <= {int, float}:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    if kinds == {list}:
        texts = [value and [part if isinstance(part, str) else json.dumps(part) for part in value] for value in values]
        return pl.Series(name, texts, dtype=pl.List(pl.String))
    return pl.Series(
        name, [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    )
