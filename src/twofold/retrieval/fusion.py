"""Fusion: one ranking out of the opinions of several retrievers, each candidate keeping its sources."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from twofold.core.dataset import Dataset
from twofold.core.ids import Codes
from twofold.core.scores import Candidates, Floats, Mask, Scores
from twofold.core.stage import Fuser

__all__ = ["Fusion", "FusionConfig"]

TINY = np.float32(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionConfig:
    """Options of fusion."""

    method: Literal["score", "reciprocal-rank"] = "score"
    """What of a retriever counts: its scores, brought to one scale, or its ranks alone."""
    depth: int = 300
    """How many candidates each retriever brings; more where a query wants more."""
    rank_offset: float = 60.0
    """Reciprocal rank: a candidate at rank r counts `1 / (rank_offset + r)`."""

    def __post_init__(self) -> None:
        if self.depth < 1 or self.rank_offset < 0:
            raise ValueError("fusion wants depth >= 1 and rank_offset >= 0.")


class Fusion(Fuser):
    """The candidates of all retrievers, ordered by a weighted sum of what each says of each.

    Method `score`: `sum_s w_s x_s / |top_s|`, where `x_s` is retriever s's score of the candidate and
    `|top_s|` the Euclidean norm of its `depth` best scores for that query: its signal's strength, which
    is steadier than its maximum. Method `reciprocal-rank`: `sum_s w_s / (rank_offset + rank_s)`
    (Cormack, Clarke & Büttcher, SIGIR 2009). A retriever without an opinion of a candidate adds 0.
    """

    Config = FusionConfig
    config: FusionConfig

    def __init__(self, config: FusionConfig | None = None) -> None:
        super().__init__(config)
        self.depth = self.config.depth

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Learn nothing; weights come from the recipe."""
        return self

    def votes(
        self, opinions: Mapping[str, Scores], allowed: Mask | None, *, size: int, k: int
    ) -> tuple[Codes, dict[str, Floats]]:
        """See `Fuser.votes`."""
        items, _, votes = self._pool(opinions, allowed, size, k)
        return items, votes

    def fuse(
        self, opinions: Mapping[str, Scores], weights: Mapping[str, float], allowed: Mask | None, *, size: int, k: int
    ) -> Candidates:
        """See `Fuser.fuse`."""
        items, heard, votes = self._pool(opinions, allowed, size, k)
        return Candidates(items=items, scores=_sum(items, votes, weights), sources=heard).ordered()

    def reorder(
        self, first: Candidates, opinions: Mapping[str, Scores], weights: Mapping[str, float], weight: float
    ) -> Candidates:
        """See `Fuser.reorder`."""
        items = first.items
        heard = {name: said.at(items) for name, said in opinions.items()}
        votes = {name: self._vote(heard[name], said.top(self.depth), items) for name, said in opinions.items()}
        total = _to_unit(first.scores) + weight * _to_unit(_sum(items, votes, weights))
        return Candidates(items=items, scores=total, sources={**first.sources, **heard}).ordered()

    def _pool(
        self, opinions: Mapping[str, Scores], allowed: Mask | None, size: int, k: int
    ) -> tuple[Codes, dict[str, Floats], dict[str, Floats]]:
        """Return the candidates, what each retriever says of each, and what it adds to each at weight 1."""
        depth = max(self.depth, k)
        tops = {name: said.top(depth, allowed) for name, said in opinions.items()}
        if len(tops) == 1:  # it need not be asked again for what it found
            ((name, (items, best)),) = tops.items()
            items = items[:, : _width(items)]
            heard = {name: np.where(items < 0, np.float32(np.nan), best[:, : items.shape[1]])}
        else:
            items = _union([ranked for ranked, _ in tops.values()], size)
            heard = {name: said.at(items) for name, said in opinions.items()}
        return items, heard, {name: self._vote(heard[name], tops[name], items) for name in opinions}

    def _vote(self, heard: Floats, top: tuple[Codes, Floats], items: Codes) -> Floats:
        """Return what a retriever adds to items at weight 1; 0 where it has no opinion."""
        ranked, best = top
        if self.config.method == "reciprocal-rank":
            return _reciprocal(ranked, items, self.config.rank_offset)
        finite = np.where(best == -np.inf, np.float32(0), best)
        norm = np.maximum(np.linalg.norm(finite, axis=1, keepdims=True), TINY)
        votes: Floats = np.where(np.isnan(heard), np.float32(0), heard / norm)
        return votes


def _sum(items: Codes, votes: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    total = np.zeros(items.shape, np.float32)
    for name, vote in votes.items():
        total += np.float32(weights[name]) * vote
    return np.where(items < 0, np.float32(-np.inf), total)


def _union(rankings: list[Codes], size: int) -> Codes:
    """Return the distinct items of several rankings of the same queries, padded with -1 at the end of each row."""
    items = np.sort(np.concatenate([np.empty((size, 0), np.int32), *rankings], axis=1), axis=1)[:, ::-1]
    again = np.zeros(items.shape, bool)
    again[:, 1:] = items[:, 1:] == items[:, :-1]
    items = np.sort(np.where(again, -1, items), axis=1)[:, ::-1]
    return np.ascontiguousarray(items[:, : _width(items)])


def _width(items: Codes) -> int:
    """Return how many items the row with most has."""
    return int((items >= 0).sum(axis=1).max(initial=0))


def _to_unit(scores: Floats) -> Floats:
    """Divide each row by its largest score, so that rankings of different strength can be added."""
    lost = scores == -np.inf
    finite = np.where(lost, np.float32(0), scores)
    largest = np.abs(finite).max(axis=1, initial=0, keepdims=True)
    return np.where(lost, scores, finite / np.maximum(largest, TINY))


def _reciprocal(ranked: Codes, items: Codes, offset: float) -> Floats:
    """Return `1 / (offset + rank)` of items in a ranking, 0 for those that are not in it."""
    votes = np.zeros(items.shape, np.float32)
    for row in range(len(items)):
        _, here, place = np.intersect1d(items[row], ranked[row], return_indices=True)
        votes[row, here] = np.where(items[row, here] >= 0, 1 / (offset + 1 + place), 0)
    return votes
