"""One call from files or frames of any kind to a Dataset."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.data.cleaning import Cleaned, Cleaning, clean
from twofold.data.movielens import file_options, read_movielens
from twofold.data.table import Table
from twofold.data.tabular import read_table

__all__ = ["Source", "as_table", "read_and_clean", "read_data", "read_dataset"]

Source = Any
"""A path, or a frame of pandas, polars (eager or lazy), pyarrow or Dask."""


def read_data(
    path: Path | str,
    *,
    items: Source | None = None,
    users: Source | None = None,
    cleaning: Cleaning | None = None,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """Read a MovieLens folder or a file of interactions and clean it; see `read_dataset`."""
    return read_dataset(Path(path), items, users, cleaning=cleaning, columns=columns)


def read_dataset(
    interactions: Source,
    items: Source | None = None,
    users: Source | None = None,
    *,
    cleaning: Cleaning | None = None,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """Read interactions, items and users, and clean them into a Dataset.

    Each may be the path of a file (CSV, TSV and the like, Parquet, JSON lines) or a frame of pandas,
    polars, pyarrow or Dask. A folder for the interactions is one in a layout of MovieLens, which brings
    its own items; `items` then adds to their description.

    Args:
        interactions: a row an event.
        items: a row an item.
        users: a row a user.
        cleaning: the options of cleaning.
        columns: roles (`user`, `item`, `rating`, `timestamp`, `event`, `title`, `text`, `categories`) to
            columns, where their names do not say it.

    Raises:
        DataError: something cannot be read or used.
    """
    return read_and_clean(interactions, items, users, cleaning=cleaning, columns=columns).dataset


def read_and_clean(
    interactions: Source,
    items: Source | None = None,
    users: Source | None = None,
    *,
    cleaning: Cleaning | None = None,
    columns: Mapping[str, str] | None = None,
) -> Cleaned:
    """Do what `read_dataset` does, and return also the report and what was set aside."""
    ids = tuple((columns or {})[role] for role in ("user", "item") if role in (columns or {}))
    extra = None if items is None else as_table(items, "items", ids)
    profiles = None if users is None else as_table(users, "users", ids)
    if isinstance(interactions, str | os.PathLike) and Path(interactions).is_dir():
        raw = read_movielens(Path(interactions))
        return clean(
            raw.interactions,
            raw.items,
            profiles or raw.users,
            cleaning=cleaning,
            columns=columns,
            more_items=extra,
            source=Path(interactions).name,
        )
    source = Path(interactions).name if isinstance(interactions, str | os.PathLike) else type(interactions).__name__
    return clean(
        as_table(interactions, "interactions", ids), extra, profiles, cleaning=cleaning, columns=columns, source=source
    )


def as_table(source: Source, what: str, ids: tuple[str, ...]) -> Table:
    """Read a file, or take over a frame; `what` it holds and which columns are `ids` is said for errors and types."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return read_table(path, ids=ids, **file_options(path.name))  # type: ignore[arg-type]
    if isinstance(source, Table):
        return source
    return Table.of(_as_frame(source, what))


def _as_frame(source: Source, what: str) -> pl.DataFrame:
    """Take over a frame of another library, through the Arrow interface where it has it."""
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if type(source).__module__.partition(".")[0] == "dask" or type(source).__module__.startswith("dask_"):
        source = source.compute()
    if isinstance(source, pl.DataFrame):
        return source
    if not hasattr(source, "__arrow_c_stream__") and not hasattr(source, "columns"):
        raise DataError(
            f"the {what} are a {type(source).__name__}, which is no table; give a path, or a frame of pandas, polars, "
            "pyarrow or Dask."
        )
    try:
        frame = pl.DataFrame(source) if hasattr(source, "__arrow_c_stream__") else _by_column(source)
    except Exception:  # each library refuses mixed columns with errors of its own
        frame = _by_column(source)
    return frame.select(name for name in frame.columns if not name.startswith("__index_level_"))


def _by_column(source: Source) -> pl.DataFrame:
    """Take over a pandas frame column by column; columns of mixed kinds become texts."""
    columns = {}
    for name in source.columns:
        values = [None if value is None or value != value else value for value in source[name].tolist()]  # noqa: PLR0124
        kinds = {type(value) for value in values if value is not None}
        mixed = len(kinds) > 1 and not kinds <= {int, float}
        columns[str(name)] = [None if value is None else str(value) for value in values] if mixed else values
    return pl.DataFrame(columns, strict=False)
