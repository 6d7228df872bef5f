"""`Table`: systems measured on the same cases, with intervals, comparisons and the protocol."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twofold.evaluate.significance import (
    Clusters,
    bootstrap_intervals,
    cluster_mean,
    holm,
    paired_test,
    ratio_interval,
)

__all__ = ["Cell", "Comparison", "Estimate", "Row", "Table"]

Mark = Literal["", "best", "level", "below"]

SHOWN = ("ndcg@10", "hr@10", "recall@10", "mrr@10", "coverage@10", "novelty@10")
"""Metrics that a narrow table shows, where they were measured; the costs follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured of one system."""

    name: str
    metrics: Mapping[str, npt.NDArray[np.float64]]
    """Metric to its value in each case; the cases are the same in all rows."""
    beyond: Mapping[str, float] = field(default_factory=dict)
    """What the lists are like together; see `beyond`."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Costs, such as `fit seconds`, `ms a query`, `peak MB`."""
    slices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Means among parts of the cases; see `slices`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One figure. Ends are None where there is no interval."""

    system: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a system does against another in one metric, on the same cases."""

    system: str
    against: str
    metric: str
    difference: float
    low: float
    high: float
    ratio: float | None
    """Mean over the other's mean; None where the other's is 0."""
    ratio_low: float | None
    ratio_high: float | None
    p_value: float
    """Of a two-sided paired randomisation test."""
    p_corrected: float
    """The same, corrected by Holm's rule for all comparisons against this system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure as text."""

    text: str
    interval: str = ""
    mark: Mark = ""
    """`best`: the highest; `level`: not to be told from it; `below`: surely lower. Empty: not compared."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Systems measured on the same cases.

    Where `clusters` are given, every mean is the mean over users of the user's mean, and users are what
    intervals and tests resample.

    Raises:
        ValueError: there is no row, names repeat, rows were measured on other cases or metrics, or `main`
            or `baseline` names nothing.
    """

    rows: Sequence[Row]
    protocol: Mapping[str, Any]
    """What the figures rest on: split, candidates, what was removed, ties, seeds, data, machine."""
    clusters: Clusters | None = None
    """The user of each case, shape [c]."""
    main: str = "ndcg@10"
    """The metric by which systems are compared."""
    baseline: str | None = None
    """A row that every other is compared with, beside the best."""
    level: float = 0.95
    resamples: int = 2_000
    rng: int = 0

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        if not names or len(set(names)) < len(names):
            raise ValueError("a table wants at least one row, and rows of different names")
        shapes = {(name, values.shape) for row in self.rows for name, values in row.metrics.items()}
        if any(len(row.metrics) != len(shapes) for row in self.rows) or len({shape for _, shape in shapes}) != 1:
            raise ValueError("all rows of a table want the same metrics on the same cases")
        if self.main not in self.rows[0].metrics:
            raise ValueError(f"{self.main!r} was not measured; main is one of {', '.join(self.rows[0].metrics)}")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"there is no row {self.baseline!r}; the baseline is one of {', '.join(names)}")

    @cached_property
    def estimates(self) -> tuple[Estimate, ...]:
        """Every figure of every row: accuracy with intervals, then what lists are like, slices and costs."""
        metrics = list(self.rows[0].metrics)
        values = np.stack([row.metrics[name] for row in self.rows for name in metrics], axis=1)
        lows, highs = bootstrap_intervals(
            values, clusters=self.clusters, level=self.level, resamples=self.resamples, rng=self.rng
        )
        ends = iter(zip(lows, highs, strict=True))
        found = []
        for row in self.rows:
            for name in metrics:
                low, high = next(ends)
                mean = cluster_mean(row.metrics[name], self.clusters)
                found.append(Estimate(system=row.name, metric=name, value=mean, low=float(low), high=float(high)))
            sliced = {f"{metric}, {part}": v for part, means in row.slices.items() for metric, v in means.items()}
            for name, value in {**row.beyond, **sliced, **row.extra}.items():
                found.append(Estimate(system=row.name, metric=name, value=float(value)))
        return tuple(found)

    @cached_property
    def best(self) -> str:
        """The name of the row whose mean of the main metric is highest; of equal ones the first."""
        return max(self.rows, key=lambda row: cluster_mean(row.metrics[self.main], self.clusters)).name

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every row against the best, and against the baseline if there is one, in the main metric."""
        others = dict.fromkeys([self.best, *([] if self.baseline is None else [self.baseline])])
        return tuple(comparison for other in others for comparison in self.against(other))

    def against(self, other: str) -> tuple[Comparison, ...]:
        """Return every row's comparison with the row called `other`, in the main metric."""
        values = {row.name: row.metrics[self.main] for row in self.rows}
        base = values.pop(other)
        tests = {
            name: paired_test(array, base, clusters=self.clusters, level=self.level, rng=self.rng)
            for name, array in values.items()
        }
        corrected = holm([test.p_value for test in tests.values()])
        found = []
        for (name, test), p_corrected in zip(tests.items(), corrected, strict=True):
            ratio, low, high = self._ratio(values[name], base)
            found.append(
                Comparison(
                    system=name,
                    against=other,
                    metric=self.main,
                    difference=test.difference,
                    low=test.low,
                    high=test.high,
                    ratio=ratio,
                    ratio_low=low,
                    ratio_high=high,
                    p_value=test.p_value,
                    p_corrected=p_corrected,
                )
            )
        return tuple(found)

    def find(self, system: str, metric: str) -> Estimate | None:
        """Return one figure, or None where it was not measured."""
        return self._by_name.get((system, metric))

    def columns(self) -> list[str]:
        """Return the metrics that a narrow table shows: the main one, the usual ones, the costs."""
        measured = dict.fromkeys(estimate.metric for estimate in self.estimates)
        costs = dict.fromkeys(name for row in self.rows for name in row.extra)
        return [name for name in dict.fromkeys([self.main, *SHOWN, *costs]) if name in measured]

    def cells(self, columns: Sequence[str] | None = None) -> dict[str, list[Cell]]:
        """Return the table as text: the name of each row to a cell for each column.

        Args:
            columns: metrics; `columns()` if left out.
        """
        chosen = list(columns) if columns is not None else self.columns()
        return {row.name: [self._cell(row.name, metric) for metric in chosen] for row in self.rows}

    def as_dict(self) -> dict[str, Any]:
        """Return protocol, rows and comparisons as plain values for JSON; what is not finite becomes None."""
        return {
            "protocol": dict(self.protocol),
            "rows": [_finite(asdict(estimate)) for estimate in self.estimates],
            "comparisons": [_finite(asdict(comparison)) for comparison in self.comparisons],
        }

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Estimate]:
        return {(estimate.system, estimate.metric): estimate for estimate in self.estimates}

    @cached_property
    def _level(self) -> set[str]:
        """The rows that cannot be told from the best."""
        return {c.system for c in self.comparisons if c.against == self.best and c.p_corrected > 1 - self.level}

    def _ratio(self, values: npt.NDArray[np.float64], base: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
        below = cluster_mean(base, self.clusters)
        if below == 0:
            return None, None, None
        low, high = ratio_interval(
            values, base, clusters=self.clusters, level=self.level, resamples=self.resamples, rng=self.rng
        )
        return cluster_mean(values, self.clusters) / below, low, high

    def _cell(self, system: str, metric: str) -> Cell:
        estimate = self.find(system, metric)
        if estimate is None:
            return Cell(text="–")
        if estimate.low is None or estimate.high is None:
            return Cell(text=_spoken(estimate.value))
        interval = f"{estimate.low:.4f} – {estimate.high:.4f}"
        return Cell(text=f"{estimate.value:.4f}", interval=interval, mark=self._mark(estimate))

    def _mark(self, estimate: Estimate) -> Mark:
        """Mark accuracy: by test in the main metric, by the value alone in the others."""
        if estimate.metric == self.main:
            if estimate.system == self.best:
                return "best"
            return "level" if estimate.system in self._level else "below"
        top = max(self._by_name[row.name, estimate.metric].value for row in self.rows)
        return "best" if estimate.value == top else ""


def _spoken(value: float) -> str:
    """Return a figure with about three digits that matter."""
    size = abs(value)
    if not math.isfinite(value):
        return "–"
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
