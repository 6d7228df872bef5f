"""Searches of which answers are known, from files or frames of any kind: what people typed, and what they chose."""

from dataclasses import replace
from typing import Any

import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.data.reading import Source, as_table
from twofold.data.times import to_milliseconds

__all__ = ["add_searches"]

NAMES = {"query": "text", "search": "text", "item_id": "item", "time": "timestamp"}
"""Other names of columns that are understood."""


def add_searches(dataset: Dataset, source: Source) -> Dataset:
    """Return a dataset with searches of which answers are known; see `Dataset.with_queries`.

    A row without a text, or about an item that the catalogue does not have, is set aside and counted in the
    provenance, under `searches`.

    Args:
        dataset: whose items the searches are about.
        source: a path or a frame, a row an answer: `text` (or `query`), `item`, and where known `grade` and
            `timestamp`.

    Raises:
        DataError: the source cannot be read, a column is missing, or no row can be used.
    """
    frame = as_table(source, "searches", ("item", "item_id")).frame
    frame = frame.rename({name: NAMES[name] for name in frame.columns if name in NAMES and NAMES[name] not in frame})
    if missing := [name for name in ("text", "item") if name not in frame.columns]:
        raise DataError(f"the searches have no column {missing[0]!r}; name it so, beside {', '.join(frame.columns)}.")
    frame = frame.select(name for name in ("text", "item", "grade", "timestamp") if name in frame.columns)
    frame = frame.with_columns(pl.col("text").cast(pl.String).str.strip_chars())
    if "timestamp" in frame.columns:
        frame = frame.with_columns(to_milliseconds(frame["timestamp"]).alias("timestamp"))
    said = (frame["text"].fill_null("") != "").to_numpy()
    known = dataset.item_ids.encode_series(frame["item"]) >= 0
    kept = frame.filter(pl.Series(said & known))
    report: dict[str, Any] = {
        "rows": len(frame),
        "used": len(kept),
        "without a text": int((~said).sum()),
        "about unknown items": int((said & ~known).sum()),
    }
    if not len(kept):
        raise DataError(f"none of the {len(frame):,} searches has a text and an item of the catalogue; check the file.")
    return replace(dataset.with_queries(kept), provenance={**dataset.provenance, "searches": report})
