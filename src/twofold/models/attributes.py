"""What a catalogue says of items in columns, as numbers: the part of content that needs no language model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from twofold.core.scores import Floats

__all__ = ["Attributes"]

VALUES = 200
"""Most values of a column that get a place of their own: the most frequent ones."""
KNOTS = 10
"""Points between which a number is placed."""
KNOWN = ("item", "title", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """How columns of items become rows of numbers [n, p].

    Each frequent element of a list column has a place that is 1 where an item has it. A number lies between two of
    its column's quantiles and is shared among the places of both, as near as it is to each; so what depends on it
    need be no straight line. What is missing is 0 everywhere.
    """

    values: Mapping[str, list[str]]
    """List columns and their frequent elements."""
    knots: Mapping[str, list[float]]
    """Columns of numbers and their quantiles, rising."""

    @classmethod
    def of(cls, items: pl.DataFrame) -> Self:
        """Learn the values and quantiles of a catalogue's columns."""
        values, knots = {}, {}
        for name, dtype in items.schema.items():
            if name in KNOWN:
                continue
            if dtype == pl.List(pl.String):
                counts = (
                    items[name]
                    .explode()
                    .drop_nulls()
                    .value_counts(sort=True, name="n")
                    .sort("n", name, descending=[True, False])
                )
                values[name] = counts[name].head(VALUES).to_list()
            elif dtype.is_numeric():
                known = items[name].cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
                found = np.unique(np.quantile(known, np.linspace(0, 1, KNOTS))) if len(known) else np.empty(0)
                knots[name] = found.tolist()
        return cls(
            values={name: found for name, found in values.items() if found},
            knots={name: found for name, found in knots.items() if len(found) > 1},
        )

    @property
    def size(self) -> int:
        """How many numbers an item gets."""
        return sum(map(len, self.values.values())) + sum(map(len, self.knots.values()))

    def rows(self, items: pl.DataFrame) -> Floats:
        """Return the numbers of items, float32 [n, p]; columns that are not there count as missing."""
        parts = [np.zeros((len(items), 0), np.float32)]
        for name, known in self.values.items():
            place = {value: column for column, value in enumerate(known)}
            part = np.zeros((len(items), len(known)), np.float32)
            for row, found in enumerate(items[name].to_list() if name in items.columns else ()):
                part[row, [place[value] for value in found or () if value in place]] = 1
            parts.append(part)
        for name, points in self.knots.items():
            numbers = (
                items[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
                if name in items.columns
                else np.full(len(items), np.nan)
            )
            parts.append(_shared(numbers, np.array(points)))
        return np.concatenate(parts, axis=1)

    def as_table(self) -> dict[str, Any]:
        """Return it as plain values for JSON; `Attributes(**table)` reads them."""
        return {"values": dict(self.values), "knots": dict(self.knots)}


def _shared(numbers: np.ndarray, points: np.ndarray) -> Floats:
    """Share numbers among the two points that each lies between, float32 [n, points]."""
    held = np.clip(numbers, points[0], points[-1])
    known = np.flatnonzero(~np.isnan(held))
    upper = np.clip(np.searchsorted(points, held[known], side="right"), 1, len(points) - 1)
    share = (held[known] - points[upper - 1]) / (points[upper] - points[upper - 1])
    part = np.zeros((len(numbers), len(points)), np.float32)
    part[known, upper - 1] = 1 - share
    part[known, upper] = share
    return part
