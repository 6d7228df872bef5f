"""Scores: what one stage thinks of items, for each query of a batch.

Legend: b queries, n items, c columns of a ranking. A ranking is a pair of arrays [b, c]: item codes
(int32, -1 where there is no more) and scores (float32, -inf there), the best first; equal scores
are ordered by code, so that a ranking is a function of its scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from twofold.core.history import Histories
from twofold.core.ids import Codes

__all__ = [
    "Candidates",
    "CommonScores",
    "DenseScores",
    "Floats",
    "Mask",
    "Scores",
    "SparseScores",
    "along",
    "rank_rows",
]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Scores(Protocol):
    """What one stage thinks of items. A stage that has no evidence for a query has no opinion: NaN."""

    def top(self, k: int, allowed: Mask | None = None) -> tuple[Codes, Floats]:
        """Return a ranking of the k best items that are allowed (mask [b, n])."""
        ...

    def at(self, items: Codes) -> Floats:
        """Return the scores of given items (codes [b, c], -1 allowed), NaN where there is no opinion."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """A ranking, each item of which keeps what every retriever said of it."""

    items: Codes
    scores: Floats
    sources: Mapping[str, Floats]
    """Name of a retriever to its scores [b, c], NaN where it has no opinion."""

    def _map(self, change: Callable[[Any], Any]) -> "Candidates":
        sources = {name: change(scores) for name, scores in self.sources.items()}
        return Candidates(items=change(self.items), scores=change(self.scores), sources=sources)

    def head(self, k: int) -> "Candidates":
        """Return the k best."""
        return self._map(lambda array: array[:, :k])

    def columns(self, places: Sequence[int] | npt.NDArray[np.integer]) -> "Candidates":
        """Return the items at the given places of all rankings, in the given order."""
        return self._map(lambda array: array[:, np.asarray(places, np.int64)])

    def take(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> "Candidates":
        """Return the rankings of the given queries, in the given order."""
        return self._map(lambda array: array[np.asarray(rows, np.int64)])

    def row(self, row: int) -> "Candidates":
        """Return one ranking, without a copy."""
        return self._map(lambda array: array[row : row + 1])

    def ordered(self) -> "Candidates":
        """Return the same items by falling score, then rising code; a score of -inf becomes item -1, at the end."""
        if (self.scores[:, 1:] < self.scores[:, :-1]).all() and (self.scores[:, -1:] > -np.inf).all():
            return self  # falling already, so that only the last could be -inf
        order = np.lexsort((self.items, -self.scores), axis=1)
        ranked = self._map(lambda array: along(array, order))
        lost = ranked.scores == -np.inf
        return replace(ranked, items=np.where(lost, np.int32(-1), ranked.items)) if lost.any() else ranked

    def then(self, other: "Candidates") -> "Candidates":
        """Append what another ranking has beyond this one's items, below this one's worst score."""
        known = (other.items[:, :, None] == self.items[:, None, :]).any(axis=2)
        floor = np.where(np.isneginf(self.scores), np.inf, self.scores).min(axis=1, initial=0.0)[:, None]
        steps = np.where(known | (other.items < 0), -np.inf, floor - np.arange(1, other.items.shape[1] + 1))
        tail = Candidates(items=other.items, scores=steps.astype(np.float32), sources=other.sources)
        return _beside(self, tail).ordered()

    @classmethod
    def stack(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Put rankings below each other; narrow ones are padded."""
        width = max(part.items.shape[1] for part in parts)
        names = dict.fromkeys(name for part in parts for name in part.sources)
        return cls(
            items=np.concatenate([_pad(part.items, width, -1) for part in parts]),
            scores=np.concatenate([_pad(part.scores, width, -np.inf) for part in parts]),
            sources={
                name: np.concatenate(
                    [_pad(part.sources.get(name, _nothing(part.items)), width, np.nan) for part in parts]
                )
                for name in names
            },
        )


@dataclass(frozen=True, slots=True)
class DenseScores:
    """A score for every item, float32 [b, n]; NaN for no opinion."""

    values: Floats

    def top(self, k: int, allowed: Mask | None = None) -> tuple[Codes, Floats]:
        """See `Scores.top`."""
        ranked = np.fmax(self.values, np.float32(-np.inf))  # the larger number, and of a number and NaN the number
        if allowed is not None:
            np.copyto(ranked, np.float32(-np.inf), where=~allowed)
        items = _best(ranked, min(k, ranked.shape[1]))
        return rank_rows(items, along(ranked, items))

    def at(self, items: Codes) -> Floats:
        """See `Scores.at`."""
        if not self.values.shape[1]:
            return np.full(items.shape, np.nan, np.float32)
        return np.where(items < 0, np.float32(np.nan), along(self.values, np.maximum(items, 0)))


@dataclass(frozen=True, slots=True)
class CommonScores(DenseScores):
    """Scores that are the same for every query."""

    ranked: Callable[[int], tuple[Codes, Floats]]
    """Returns their ranking, with one row, up to some place; whoever made them may have kept it."""

    def top(self, k: int, allowed: Mask | None = None) -> tuple[Codes, Floats]:
        """See `Scores.top`."""
        if allowed is not None:
            return DenseScores.top(self, k, allowed)
        items, scores = self.ranked(k)
        return np.repeat(items, len(self.values), axis=0), np.repeat(scores, len(self.values), axis=0)


@dataclass(frozen=True, slots=True)
class SparseScores:
    """Scores of the few items that a retriever found; no opinion of the rest.

    `found.items` are the hits of each query, in any order, and `found.values` their scores.
    """

    found: Histories

    def top(self, k: int, allowed: Mask | None = None) -> tuple[Codes, Floats]:
        """See `Scores.top`."""
        found = self.found if allowed is None else self.found.where(allowed[self.found.rows, self.found.items])
        width = int(found.lengths.max(initial=0))
        items = np.full((len(found), width), -1, np.int32)
        scores = np.full((len(found), width), -np.inf, np.float32)
        columns = found.lengths[found.rows] - 1 - found.ages
        items[found.rows, columns] = found.items
        scores[found.rows, columns] = found.values
        items, scores = rank_rows(items, scores)
        return items[:, :k], scores[:, :k]

    def at(self, items: Codes) -> Floats:
        """See `Scores.at`."""
        scores = np.full(items.shape, np.nan, np.float32)
        for row in range(len(items)):
            hits = self.found.row(row)
            order = np.argsort(hits.items)
            place = np.searchsorted(hits.items, items[row], sorter=order)
            inside = place < len(order)
            match = order[place[inside]]
            scores[row, inside] = np.where(hits.items[match] == items[row, inside], hits.values[match], np.nan)
        return scores


def _beside(left: Candidates, right: Candidates) -> Candidates:
    names = dict.fromkeys((*left.sources, *right.sources))
    return Candidates(
        items=np.concatenate((left.items, right.items), axis=1),
        scores=np.concatenate((left.scores, right.scores), axis=1),
        sources={
            name: np.concatenate([part.sources.get(name, _nothing(part.items)) for part in (left, right)], axis=1)
            for name in names
        },
    )


def _nothing(items: Codes) -> Floats:
    return np.full(items.shape, np.nan, np.float32)


def _pad(array: npt.NDArray[Any], width: int, fill: float) -> npt.NDArray[Any]:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)


def _best(scores: Floats, k: int) -> Codes:
    """Return the columns of the k best scores of each row; at the limit the lower column wins a tie."""
    size = scores.shape[1]
    if k == size:
        return np.broadcast_to(np.arange(size, dtype=np.int32), scores.shape)
    columns = np.empty((len(scores), k), np.int32)
    limits = -np.partition(-scores, k - 1, axis=1)[:, k - 1]  # from below: many equal scores, such as 0, cost ten times
    for row, (line, limit) in enumerate(zip(scores, limits, strict=True)):
        best = np.flatnonzero(line >= limit)
        if len(best) > k:
            level = line[best] == limit
            best = np.concatenate((best[~level], best[level][: k - len(best)]))
        columns[row] = best
    return columns


def along(array: npt.NDArray[Any], columns: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """Return columns of each row of an array, as `take_along_axis` does, which takes ten times as long for one row."""
    if len(array) == 1:
        return array[:, columns[0]]
    return np.take_along_axis(array, columns.astype(np.int64, copy=False), axis=1)


def rank_rows(items: Codes, scores: Floats) -> tuple[Codes, Floats]:
    """Order each row by falling score, then rising code; a score of -inf becomes item -1, at the end."""
    ranked = Candidates(items=items, scores=scores, sources={}).ordered()
    return ranked.items, ranked.scores
