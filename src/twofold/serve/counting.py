"""What a catalogue is like: its columns, how many items have which values, and whom it has as users."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError, nearest
from twofold.core.ids import Codes, Id
from twofold.core.pipeline import Pipeline
from twofold.core.slate import Slate
from twofold.serve.wire import Catalogue, Column, Count, Counted, Facet, Facets, Kind

__all__ = ["check_columns", "count", "describe_catalogue", "find_users", "shown"]

TOLD = ("item", "title", "text")
"""Columns that say something else of each item, so that nothing is to be counted."""


@runtime_checkable
class Matches(Protocol):
    """A retriever that knows which items match a text."""

    def matching(self, text: str) -> Codes:
        """Return all of them, rising."""
        ...


def check_columns(dataset: Dataset, names: Sequence[str]) -> None:
    """See that a catalogue has columns.

    Raises:
        DataError: it has no such column.
    """
    for name in names:
        if name not in dataset.items.columns:
            raise DataError(f"no item has a column {name!r}; {nearest(name, dataset.items.columns)}")


def shown(dataset: Dataset, slate: Slate, columns: Sequence[str]) -> tuple[dict[str, object], ...]:
    """Return some columns of each item of a slate."""
    if not columns:
        return ()
    codes = dataset.item_ids.encode(slate.items)
    # Another artifact, with other columns, may answer by now.
    rows = dataset.items.select(name for name in dict.fromkeys(columns) if name in dataset.items.columns)
    return tuple(rows.row(code, named=True) if code >= 0 else {} for code in codes.tolist())


def describe_catalogue(dataset: Dataset) -> Catalogue:
    """Return the columns of a catalogue and of what kind they are."""
    columns = [Column(name=name, kind=_kind(kind)) for name, kind in dataset.items.schema.items()]
    return Catalogue(items=len(dataset.items), columns=columns)


def count(pipeline: Pipeline, ask: Count) -> Facets:
    """Count what items are like that match a text and filters.

    Raises:
        DataError: a column is unknown, or a filter does not fit it.
    """
    dataset = pipeline.dataset
    check_columns(dataset, ask.columns)
    found = np.ones(len(dataset.items), bool) if pipeline.available is None else pipeline.available.copy()
    if ask.text is not None:
        stages = [stage for stage in pipeline.retrievers.values() if isinstance(stage, Matches)]
        matching = np.zeros(len(found), bool)
        for stage in stages[:1]:
            matching[stage.matching(ask.text)] = True
        found &= matching
    passed = {name: dataset.eligible({name: wanted}) for name, wanted in ask.filters.items()}
    facets = []
    for name in ask.columns or dataset.items.columns:
        # A column's own filter does not count, so that another value can be chosen.
        rows = np.logical_and.reduce([found, *(mask for other, mask in passed.items() if other != name)])
        facet = _facet(dataset.items[name].filter(pl.Series(rows)), ask.k)
        if name in ask.columns or (name not in TOLD and _telling(facet)):
            facets.append(facet)
    return Facets(matches=int(np.logical_and.reduce([found, *passed.values()]).sum()), facets=facets)


def find_users(dataset: Dataset, text: str, k: int) -> list[Id]:
    """Return up to k users whose ids begin with a text, in the order of the data."""
    ids = dataset.user_ids.ids
    return ids.filter(ids.cast(pl.String).str.starts_with(text)).head(k).to_list()


def _facet(values: pl.Series, k: int) -> Facet:
    """Return the most frequent values, or the range where they are numbers."""
    if values.dtype.is_numeric():
        if not values.count():
            return Facet(column=values.name)
        return Facet(column=values.name, low=float(values.min()), high=float(values.max()))  # type: ignore[arg-type]
    if isinstance(values.dtype, pl.List):
        values = values.list.unique().list.explode(empty_as_null=False, keep_nulls=False)
    if values.dtype not in (pl.String, pl.Boolean):
        values = values.cast(pl.String)
    counts = values.drop_nulls().value_counts(name="count").sort(["count", values.name], descending=[True, False])
    rows = counts.head(k).iter_rows()
    return Facet(column=values.name, values=[Counted(value=value, count=many) for value, many in rows])


def _telling(facet: Facet) -> bool:
    """Return whether a facet divides the items: some have a value together, or numbers differ."""
    if facet.low is not None and facet.high is not None:
        return facet.low < facet.high
    return any(value.count > 1 for value in facet.values)


def _kind(kind: pl.DataType) -> Kind:
    if kind == pl.Boolean:
        return "flag"
    if kind == pl.String:
        return "text"
    if isinstance(kind, pl.List):
        return "list"
    return "number" if kind.is_numeric() else "other"
