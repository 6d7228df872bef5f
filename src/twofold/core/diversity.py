"""Diversity: a good list whose items differ, out of a longer list of good items that may be much alike."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.ids import Codes
from twofold.core.scores import Floats

__all__ = ["depth", "diversify", "likeness"]

WIDER = 5
"""So many candidates are looked at for each item that is wanted."""
LEAST = 50


def depth(k: int, diversity: float) -> int:
    """Return how many candidates a list of k items is chosen from."""
    return max(WIDER * k, LEAST) if diversity else k


def likeness(items: pl.DataFrame, codes: Codes, vectors: Sequence[Floats] = ()) -> npt.NDArray[np.float64]:
    """Return how alike items are, from 0 to 1, shape [c, c]: the mean cosine of their categories and vectors.

    Args:
        items: the catalogue, with its `categories`.
        codes: which of its items, int32 [c].
        vectors: what encoders say of these items, float32 [c, d] each.
    """
    views = [_normal(_incidence(items["categories"].gather(codes.astype(np.int64)))), *map(_normal, vectors)]
    alike: npt.NDArray[np.float64] = np.clip(np.mean([view @ view.T for view in views], axis=0), 0.0, 1.0)
    return alike


def diversify(alike: npt.NDArray[np.float64], k: int, diversity: float) -> list[int]:
    """Choose k of c candidates by maximal marginal relevance, and return their places in the order of the choice.

    The first candidate stays first. Each next one is the candidate i with the highest

        (1 - diversity) (1 - rank_i / c) - diversity max_j alike_ij

    over the candidates j that were chosen before. Relevance is taken from the rank, since scores of different
    retrievers are of different scales.

    Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
    summaries", SIGIR 1998.

    Args:
        alike: how alike the candidates are, [c, c], the best one first.
        k: how many are chosen, if there are so many.
        diversity: from 0 to 1.

    >>> alike = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> diversify(alike, 2, 0.0), diversify(alike, 2, 0.5)
    ([0, 1], [0, 2])
    """
    count = len(alike)
    relevance = (1 - diversity) * (1 - np.arange(count) / max(count, 1))
    nearest, chosen = np.zeros(count), list[int]()
    for _ in range(min(k, count)):
        worth = relevance - diversity * nearest
        worth[chosen] = -np.inf
        best = int(worth.argmax()) if chosen else 0
        chosen.append(best)
        nearest = np.maximum(nearest, alike[best])
    return chosen


def _incidence(categories: pl.Series) -> npt.NDArray[np.float64]:
    """Return which categories items have, shape [c, categories]."""
    rows = [set(row) if row is not None else set() for row in categories]
    place = {name: at for at, name in enumerate(sorted(set().union(*rows), key=str))}
    marks = np.zeros((len(rows), len(place)))
    for row, names in enumerate(rows):
        marks[row, [place[name] for name in names]] = 1.0
    return marks


def _normal(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    normal: npt.NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 0)
    return normal
