"""How the scores of a ranker and those of the ranking before it become one. Legend: b queries, c candidates."""

from collections.abc import Mapping, Sequence

import numpy as np

from twofold.core.ids import Codes
from twofold.core.scores import Floats, Mask

__all__ = ["best_weight", "gain", "mix"]

WEIGHTS = tuple(step / 10 for step in range(11))
CUT = 10


def mix(first: Floats, own: Floats, weight: float) -> Floats:
    """Return `(1 - weight) z(first) + weight z(own)` at the scale of `first`, where z is the standard score in a row.

    Args:
        first: scores [b, c], -inf where there is no candidate.
        own: scores [b, c]; NaN where there is no opinion, which counts as the mean.
        weight: from 0 to 1.
    """
    there = ~np.isneginf(first)
    first = np.where(there, first, 0)
    mean, spread = _moments(first, there)
    new, theirs = _moments(own, there & ~np.isnan(own))
    mixed = (1 - weight) * (first - mean) / spread + weight * np.nan_to_num((own - new) / theirs)
    return np.where(there, mean + spread * mixed, -np.inf).astype(np.float32)


def _moments(scores: Floats, there: Mask) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each row [b, 1]; the latter is 1 where all scores are equal."""
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = np.where(there, scores, 0).sum(axis=1, keepdims=True) / count
    spread = np.sqrt((np.where(there, scores - mean, 0) ** 2).sum(axis=1, keepdims=True) / count)
    return mean, np.where(spread > 1e-9, spread, 1)


def best_weight(items: Codes, first: Floats, own: Floats, grades: Sequence[Mapping[int, float]]) -> tuple[float, float]:
    """Return the weight of `mix` that orders best, of 0, 0.1, … 1, and the mean gain there; the smaller at a tie.

    Args:
        items: candidates [b, c], -1 where there is no more.
        first: their scores in the ranking before, [b, c].
        own: the ranker's scores, [b, c].
        grades: of each query, how good known answers are, by code.
    """
    best = (0.0, -1.0)
    for weight in WEIGHTS:
        mixed = mix(first, own, weight)
        order = np.lexsort((items, -mixed), axis=1)
        ranked = np.take_along_axis(items, order, axis=1)
        mean = float(np.mean([gain(row, known) for row, known in zip(ranked.tolist(), grades, strict=True)]))
        if mean > best[1] + 1e-9:
            best = (weight, mean)
    return best


def gain(ranked: Sequence[int], grades: Mapping[int, float]) -> float:
    """Return NDCG@10 of a ranking, with linear gains; 0 where no answer is good.

    >>> round(gain([3, 1, 2], {1: 1.0, 2: 0.0}), 4)
    0.6309
    """
    discounts = 1 / np.log2(np.arange(2, CUT + 2))
    ideal = sorted(grades.values(), reverse=True)[:CUT]
    most = float(np.dot(ideal, discounts[: len(ideal)]))
    found = [grades.get(item, 0.0) for item in ranked[:CUT]]
    return float(np.dot(found, discounts[: len(found)])) / most if most > 0 else 0.0
