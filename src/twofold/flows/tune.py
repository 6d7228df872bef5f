"""Tune: choose the weights of a fusion on held-out data."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from twofold.core.config import build
from twofold.core.dataset import Dataset
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch
from twofold.core.recipe import Recipe, Weights
from twofold.core.scores import Candidates
from twofold.core.stage import Progress
from twofold.data import Cases, Split, split
from twofold.evaluate import accuracy, cluster_mean

__all__ = ["Tune", "split_of", "tune"]

CHUNK = 256
DEPTH = 60
"""Places of a ranking that are looked at: more than enough for a metric at 10 with ties against the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """Options of tuning."""

    metric: Literal["ndcg@10", "hr@10", "recall@10", "mrr@10"] = "ndcg@10"
    """What is made as large as possible on the validation part."""
    step: float = 0.1
    """Each weight is tried at multiples of it, from 0 to 1."""
    rounds: int = 2
    """How often all weights are gone through."""
    cases: int = 2_000
    """At most so many validation cases are looked at."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.step <= 0.5 or self.rounds < 1 or self.cases < 1:
            raise ValueError("tune wants step from 0.01 to 0.5, rounds >= 1 and cases >= 1.")


def tune(dataset: Dataset, recipe: Recipe, *, rng: int = 0, progress: Progress | None = None) -> Recipe:
    """Return the recipe with the weights of `evidence.history` that do best on a validation part.

    The dataset, which must hold no test data, is split once more in the way of `split_of`; the
    retrievers are fitted on its older part. Then one weight after the other is set to the value at
    which the fusion's ranking is best, the others keeping their proportions. Without a case to look
    at, the recipe comes back as it was.
    """
    options, names = build(Tune, recipe.tune, "tune"), list(recipe.evidence.history)
    train, cases = split(dataset, split_of(recipe, dataset))
    # Only where a history holds a like is there something to fuse.
    cases = cases.take(np.flatnonzero(cases.histories.likes().lengths > 0)).sample(options.cases, rng)
    if len(names) < 2 or not len(cases):
        return recipe
    only = replace(
        recipe,
        rank={},
        evidence=Weights(history=dict.fromkeys(names, 1.0)),
    ).needed()
    pipeline = Pipeline(only).fit(train, rng=rng, progress=progress)
    weights = _climb(*_votes(pipeline, cases), cases, options, list(recipe.evidence.history.values()))
    chosen = {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True)}
    return replace(recipe, evidence=replace(recipe.evidence, history=chosen))


def split_of(recipe: Recipe, dataset: Dataset) -> Split:
    """Return the options by which a recipe splits a dataset.

    A log whose events are all at one time, or bear none, cannot be split by time; then the last like of
    each user is held out.
    """
    options = build(Split, recipe.split, "split")
    times = dataset.log.timestamps
    timeless = not len(times) or times.min() == times.max()
    return replace(options, kind="leave-one-out") if options.kind == "global-time" and timeless else options


def _votes(pipeline: Pipeline, cases: Cases) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the candidates of all cases [c, w] and what each retriever adds to each [c, w, retrievers]."""
    parts = []
    for _, part in cases.parts(CHUNK):
        batch = Batch.of_histories(part.histories, part.allowed(len(pipeline.dataset.items)))
        opinions, _ = pipeline.opinions(batch, "history")
        items, votes = pipeline.fuser.votes(opinions, batch.allowed, size=len(batch), k=DEPTH)
        parts.append(Candidates(items=items, scores=np.zeros(items.shape, np.float32), sources=votes))
    together = Candidates.stack(parts)
    return together.items, np.stack(list(together.sources.values()), axis=2)


def _climb(
    items: npt.NDArray[np.int32],
    votes: npt.NDArray[np.float32],
    cases: Cases,
    options: Tune,
    start: list[float],
) -> npt.NDArray[np.float64]:
    """Set one weight after the other to its best value; equal values leave it where it was."""

    def quality(weights: npt.NDArray[np.float64]) -> float:
        scores = np.where(items < 0, np.float32(-np.inf), votes @ weights.astype(np.float32))
        best = np.argpartition(-scores, min(DEPTH, scores.shape[1]) - 1, axis=1)[:, :DEPTH]
        scores, ranked = np.take_along_axis(scores, best, axis=1), np.take_along_axis(items, best, axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        ranking = np.take_along_axis(ranked, order, axis=1), np.take_along_axis(scores, order, axis=1)
        values = accuracy(*ranking, cases.targets, ks=(10,))[options.metric]
        return cluster_mean(values, cases.users)

    weights = np.array(start, float)
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(start), 1 / len(start))
    best = quality(weights)
    for _ in range(options.rounds):
        for place in range(len(weights)):
            rest = np.delete(weights, place)
            rest = rest / rest.sum() if rest.sum() > 0 else np.full(len(rest), 1 / len(rest))
            for value in np.arange(0, 1 + options.step / 2, options.step):
                tried = np.insert(rest * (1 - value), place, value)
                found = quality(tried)
                if found > best:
                    best, weights = found, tried
    return weights
