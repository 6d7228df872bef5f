"""Ranges of activations: what a graph's tensors hold on some batches, and how much of it the levels should span."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from twofold.compress.quantise.soundness import Feed
from twofold.core.errors import ConfigError
from twofold.core.session import open_session

__all__ = ["FEW", "Histogram", "Method", "ranges", "rows_in", "span", "watch"]

Method = Literal["minmax", "percentile", "entropy", "mse"]
Counts = npt.NDArray[np.int64]
Edges = npt.NDArray[np.float64]

BINS = 2048
"""Of a histogram."""
LEVELS = 255
"""Steps of an activation's range."""
CUTS = 64
"""Ranges that entropy and MSE try: the whole one, cut by a 64th of its length more each time."""
PERCENT = 99.99
"""The part of the values that the range of "percentile" holds, with equal parts beyond both ends."""
FEW = 8
"""Fewer rows than this say little of what a tensor holds."""


@dataclass(slots=True, kw_only=True)
class Histogram:
    """How often a tensor's values fall in bins of equal length over a known range."""

    low: float
    high: float
    counts: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values, of any shape."""
        self.counts += np.histogram(values, BINS, (self.low, self.high))[0]

    @property
    def edges(self) -> Edges:
        """The bins' limits, one more than bins."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)


def span(counts: Counts, edges: Edges, method: Method) -> tuple[float, float]:
    """Return the lowest and the highest value that the levels should stand for; 0 is between them.

    - minmax: all of it.
    - percentile: the middle 99.99 % of the values.
    - mse: of many ranges, the one with the least mean squared error of rounding within and cutting beyond.
    - entropy: the one with the least Kullback-Leibler divergence of what is left from what was (as in NVIDIA's
      "8-bit inference with TensorRT", 2017), taken for ranges with ends on both sides.

    Args:
        counts: of values, by bin.
        edges: the bins' limits, rising, one more.
        method: which of these.

    >>> edges = np.linspace(-1, 1, 5)
    >>> span(np.array([1, 0, 0, 1]), edges, "minmax")
    (-1.0, 1.0)
    """
    filled = np.flatnonzero(counts)
    if not len(filled):
        return 0.0, 0.0
    low, high = float(edges[filled[0]]), float(edges[filled[-1] + 1])
    if method == "percentile":
        parts = np.cumsum(counts) / counts.sum()
        beyond = (1 - PERCENT / 100) / 2
        low = float(edges[int(np.searchsorted(parts, beyond, side="right"))])
        high = float(edges[int(np.searchsorted(parts, 1 - beyond)) + 1])
    elif method != "minmax":
        cost = _squares if method == "mse" else _divergence
        low, high = min(_cuts(low, high, counts, edges), key=lambda one: cost(counts, edges, *one))
    return min(low, 0.0), max(high, 0.0)


def _cuts(low: float, high: float, counts: Counts, edges: Edges) -> list[tuple[float, float]]:
    """Return ranges around the values' middle: ever shorter, from the left, the right, or both."""
    middles = (edges[:-1] + edges[1:]) / 2
    centre = float((counts * middles).sum() / counts.sum())
    parts = 1 - np.arange(CUTS) / CUTS
    lows, highs = centre - (centre - low) * parts, centre + (high - centre) * parts
    bottom, top = np.full(CUTS, low), np.full(CUTS, high)
    pairs = [*zip(lows, highs, strict=True), *zip(lows, top, strict=True), *zip(bottom, highs, strict=True)]
    return [(float(one), float(other)) for one, other in pairs]


def _squares(counts: Counts, edges: Edges, low: float, high: float) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    middles = (edges[:-1] + edges[1:]) / 2
    step = max((high - low) / LEVELS, 1e-30)
    beyond = np.maximum(low - middles, 0) + np.maximum(middles - high, 0)
    return float((counts * np.where(beyond > 0, beyond**2, step**2 / 12)).sum() / counts.sum())


def _divergence(counts: Counts, edges: Edges, low: float, high: float) -> float:
    """Return KL(values cut to the range || the same, spread evenly over the filled bins of each level)."""
    low, high = min(low, 0.0), max(high, 0.0)
    middles = (edges[:-1] + edges[1:]) / 2
    step = max((high - low) / LEVELS, 1e-30)
    level = np.clip(np.rint((middles - low) / step), 0, LEVELS).astype(np.int64)
    inside = (middles >= low) & (middles <= high)
    if not counts[inside].sum():
        return float("inf")
    kept = np.where(inside, counts, 0).astype(np.float64)
    cut = kept.copy()
    filled = np.flatnonzero(inside)
    cut[filled[0]] += counts[: filled[0]].sum()  # what is beyond the range ends up at its ends
    cut[filled[-1]] += counts[filled[-1] + 1 :].sum()
    sums = np.bincount(level, kept, LEVELS + 1)
    places = np.bincount(level, kept > 0, LEVELS + 1)
    spread = np.where(kept > 0, sums[level] / np.maximum(places[level], 1), 0)
    p, q = cut / cut.sum(), spread / spread.sum()
    used = p > 0
    return float((p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))).sum())


def rows_in(feeds: Sequence[Feed]) -> int:
    """Return how many rows batches have together."""
    return sum(len(next(iter(feed.values()))) for feed in feeds)


def ranges(
    model: onnx.ModelProto, tensors: Sequence[str], feeds: Sequence[Feed], method: Method, *, threads: int = 1
) -> dict[str, tuple[float, float]]:
    """Return the range of each of a graph's tensors on some batches.

    The batches go through twice, since a histogram needs to know its ends; no tensor is kept.

    Args:
        model: the graph of full precision.
        tensors: their names.
        feeds: like what the network will get.
        method: see `span`.
        threads: for a run.

    Raises:
        ConfigError: there is no batch, or a tensor holds what is no number.
    """
    if not rows_in(feeds):
        raise ConfigError("static quantisation needs texts to calibrate with, and there are none; give some hundred.")
    ends = dict.fromkeys(tensors, (np.inf, -np.inf))

    def widen(name: str, values: npt.NDArray[Any]) -> None:
        low, high = ends[name]
        ends[name] = (min(low, float(values.min())), max(high, float(values.max())))

    watch(model, tensors, feeds, widen, threads=threads)
    for name, limits in ends.items():
        if not np.isfinite(limits).all():
            raise ConfigError(f"the tensor {name!r} holds what is no number; the weights are damaged, get others.")
    if method == "minmax":
        return {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in ends.items()}
    histograms = {name: Histogram(low=low, high=high if high > low else low + 1) for name, (low, high) in ends.items()}
    watch(model, tensors, feeds, lambda name, values: histograms[name].add(values), threads=threads)
    return {name: span(one.counts, one.edges, method) for name, one in histograms.items()}


def watch(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    feeds: Sequence[Feed],
    look: Callable[[str, npt.NDArray[Any]], None],
    *,
    threads: int = 1,
) -> None:
    """Run batches through a graph, and have `look` see some of its tensors, by name, batch after batch."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    given = {value.name for value in model.graph.input}
    shown = given | {value.name for value in model.graph.output}
    names = list(dict.fromkeys(tensors))
    floats = onnx.TensorProto.FLOAT
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(one, floats, None) for one in names if one not in shown
    )
    session = open_session(watched.SerializeToString(), "a network in the making", threads=threads)
    asked = [name for name in names if name not in given]
    for feed in feeds:
        inputs = {name: value for name, value in feed.items() if name in given}
        found = dict(zip(asked, session.run(asked, inputs) if asked else [], strict=True)) | inputs
        for name in names:
            look(name, found[name])
