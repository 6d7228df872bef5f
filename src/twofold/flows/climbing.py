"""Climbing: set the weights of a fusion one after the other to what ranks known cases best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch, Evidence
from twofold.core.scores import Candidates, Floats
from twofold.evaluate import accuracy, cluster_mean

__all__ = ["DEPTH", "Ballot", "climb"]

DEPTH = 60
"""Places of a ranking that are looked at: more than enough for a metric at 10 with ties against the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What retrievers say of the candidates of cases whose answers are known."""

    items: Codes
    """Candidates [c, w], -1 where there is no more."""
    votes: Floats
    """What each retriever adds to each at weight 1, [c, w, retrievers]."""
    targets: Histories
    """The items to be found, c rows of at least one."""
    clusters: npt.NDArray[np.integer]
    """To whom each case belongs; each counts the same."""

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        batches: Iterable[Batch],
        evidence: Evidence,
        targets: Histories,
        clusters: npt.NDArray[np.integer],
    ) -> "Ballot":
        """Ask the retrievers of a fitted pipeline about all cases, a batch at a time."""
        parts = []
        for batch in batches:
            opinions, _ = pipeline.opinions(batch, evidence)
            items, heard = pipeline.fuser.votes(opinions, batch.allowed, size=len(batch), k=DEPTH)
            parts.append(Candidates(items=items, scores=np.zeros(items.shape, np.float32), sources=heard))
        together = Candidates.stack(parts)
        votes = np.nan_to_num(np.stack(list(together.sources.values()), axis=2))
        return cls(items=together.items, votes=votes, targets=targets, clusters=clusters)

    def quality(self, weights: npt.NDArray[np.float64], metric: str) -> float:
        """Return a metric of the rankings that weights make."""
        scores = np.where(self.items < 0, np.float32(-np.inf), self.votes @ weights.astype(np.float32))
        best = np.argpartition(-scores, min(DEPTH, scores.shape[1]) - 1, axis=1)[:, :DEPTH]
        scores, ranked = np.take_along_axis(scores, best, axis=1), np.take_along_axis(self.items, best, axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        ranking = np.take_along_axis(ranked, order, axis=1), np.take_along_axis(scores, order, axis=1)
        return cluster_mean(accuracy(*ranking, self.targets, ks=(10,))[metric], self.clusters)


def climb(ballot: Ballot, start: Sequence[float], *, metric: str, step: float, rounds: int) -> npt.NDArray[np.float64]:
    """Return the weights at which a metric is largest; equal values leave a weight where it was.

    One weight after the other is tried at multiples of `step` from 0 to 1, the others keeping their proportions.
    """
    weights = np.array(start, float)
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(start), 1 / len(start))
    best = ballot.quality(weights, metric)
    for _ in range(rounds):
        for place in range(len(weights)):
            rest = np.delete(weights, place)
            rest = rest / rest.sum() if rest.sum() > 0 else np.full(len(rest), 1 / len(rest))
            for value in np.arange(0, 1 + step / 2, step):
                tried = np.insert(rest * (1 - value), place, value)
                found = ballot.quality(tried, metric)
                if found > best:
                    best, weights = found, tried
    return weights
