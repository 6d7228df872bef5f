"""`Table`: rows as they were read, and those that could not be."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["Lines", "Table", "rejections"]

Lines = npt.NDArray[np.int64]

REJECTED = {"line": pl.Int64, "reason": pl.String, "text": pl.String}
LONGEST = 200
"""How many characters of a rejected line are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows as they were read, and those that were set aside."""

    frame: pl.DataFrame
    lines: Lines
    """The line of the file on which each row begins, counted from 1; of a frame or a Parquet file, the row."""
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED))
    """What was set aside: `line` (Int64), `reason` and `text` (String)."""
    notes: tuple[str, ...] = ()
    """What a reader should know: guesses and repairs, a sentence each."""

    @classmethod
    def of(cls, frame: pl.DataFrame, notes: tuple[str, ...] = ()) -> "Table":
        """Make a table of a frame, all of whose rows are good."""
        return cls(frame=frame, lines=np.arange(1, len(frame) + 1), notes=notes)


def rejections(rows: list[tuple[int, str, str]]) -> pl.DataFrame:
    """Make the frame of rejected rows from (line, reason, text)."""
    short = [(line, reason, text[:LONGEST]) for line, reason, text in rows]
    return pl.DataFrame(short, schema=REJECTED, orient="row")
