"""`gains_of` and `order_kept`: how well an order is kept that a teacher gave, or that people's judgements want."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.core.scores import Floats
from twofold.evaluate.metrics import relevance_metrics

__all__ = ["DEPTH", "gains_of", "order_kept"]

DEPTH = 10


def gains_of(scores: Floats) -> dict[int, float]:
    """Return the gain of each candidate of a case by its place: 0 at the teacher's median score, 1 at the best.

    Args:
        scores: by the teacher, [c].
    """
    middle, top = np.median(scores), scores.max()
    return dict(enumerate(np.clip((scores - middle) / np.maximum(top - middle, 1e-6), 0, 1).tolist()))


def order_kept(
    scores: Iterable[Floats], gains: Iterable[Mapping[int, float]], *, cut: bool = True
) -> npt.NDArray[np.float64]:
    """Return nDCG@10 of each case; a case in which nothing gains is left out.

    Args:
        scores: of the candidates, [c] for each case.
        gains: of candidates by their place, for each case.
        cut: whether only the ten best are looked at, of equal scores those that come first.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    grades: dict[str, Any] = {}
    for row, (own, gain) in enumerate(zip(scores, gains, strict=True)):
        best = np.argsort(-own, kind="stable")[: DEPTH if cut else None]
        found[str(row)] = [(str(place), float(own[place])) for place in best]
        grades[str(row)] = {str(place): value for place, value in gain.items()}
    return np.asarray(relevance_metrics(found, grades, ks=(DEPTH,))[f"ndcg@{DEPTH}"], np.float64)
