"""Recommenders: retrievers that score every item from a history. `LinearRecommender` is the form that most share."""

import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.query import Batch, Evidence
from twofold.core.scores import DenseScores, Floats
from twofold.core.stage import Retriever

__all__ = ["ItemRecommender", "LinearRecommender", "Recommender", "like_matrix", "liked_recency", "recency_weights"]


FAINT = 1e-3
"""A like that counts less than this share of the newest one is left out of an answer."""


def recency_weights(histories: Histories, recency: float) -> Floats:
    """Return `recency ** age` for each event, where the newest like of a row has age 0; shape [events]."""
    return np.power(np.float32(recency), histories.ages.astype(np.float32))


def counted(recency: float) -> int:
    """Return how many of the newest likes count: those of at least `FAINT` times the newest one's weight.

    >>> counted(0.6), counted(1.0) > 1_000_000
    (14, True)
    """
    return int(np.log(FAINT) / np.log(recency)) + 1 if recency < 1 else sys.maxsize


def liked_recency(events: Histories, recency: float) -> Floats:
    """Return the weight in a history of each event of a batch of one: 0 for a dislike; shape [events]."""
    liked = np.flatnonzero(events.values > 0)
    weights = np.zeros(len(events.items), np.float32)
    weights[liked] = np.power(np.float32(recency), np.arange(len(liked) - 1, -1, -1, dtype=np.float32))
    return weights


def like_matrix(histories: Histories, items: int, weights: Floats | None = None) -> sp.csr_matrix:
    """Return the likes of histories as a sparse matrix float32 [b, items].

    Args:
        histories: a batch; its dislikes are left out.
        items: how many items there are.
        weights: a weight for each event; without them an item counts 1, however often it was liked.
    """
    matrix = sp.csr_matrix(
        (np.ones(len(histories.items), np.float32) if weights is None else weights, histories.items, histories.indptr),
        shape=(len(histories), items),
        copy=True,  # or the next line would order the events of the histories anew
    )
    matrix.sum_duplicates()
    if weights is None:
        matrix.data[:] = 1
    return matrix


def entries(matrix: sp.csr_matrix, rows: Codes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where in its data the entries of rows of a matrix are, one row after the other, and how many each has."""
    starts = matrix.indptr[rows].astype(np.int64)
    lengths = matrix.indptr[rows + 1] - starts
    ends = lengths.cumsum()
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0), lengths


class Recommender(Retriever):
    """A retriever that scores every item from a history, and answers with seeds as with a history."""

    evidence: ClassVar[tuple[Evidence, ...]] = ("items", "history")

    items: int
    """How many items it was fitted on."""
    fresh: int = 0
    """How many more there are now; of these it has no opinion."""

    @abstractmethod
    def score_histories(self, histories: Histories) -> Floats:
        """Return the scores of all items, float32 [b, n], for histories of likes, none of them empty."""

    def score(self, batch: Batch, evidence: Evidence) -> DenseScores:
        """Score all items; a query without a like gets no opinion."""
        return self.score_events(batch.events(evidence))

    def score_events(self, histories: Histories) -> DenseScores:
        """Score all items for histories of any events; one without a like gets no opinion (NaN)."""
        likes = histories.likes()
        if self.fresh:
            likes = likes.where(likes.items < self.items)
        known = likes.lengths > 0
        if known.all() and not self.fresh:
            return DenseScores(self.score_histories(likes))
        scores = np.full((len(likes), self.items + self.fresh), np.nan, np.float32)
        if known.any():
            scores[known, : self.items] = self.score_histories(likes.take(np.flatnonzero(known)))
        return DenseScores(scores)

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Count the items that are new."""
        self.fresh = len(dataset.items) - self.items

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; arrays are memory-mapped."""
        self.items = len(dataset.items)
        super().restore(folder, dataset)


class ItemRecommender(Recommender):
    """Scores are a weighted sum of rows of an item-item matrix W [n, n]: `score_j = sum_i w_i W[i, j]`.

    `w_i = recency ** age` puts more weight on what was liked last. Source of the form: Ning & Karypis, SLIM, ICDM 2011.
    """

    def contributions(self, batch: Batch, evidence: Evidence, items: Codes) -> Floats:
        """Return what each event adds to the scores of items, float32 [events, items].

        A dislike adds 0, and so does what is so old that it counts less than a thousandth of the newest like.
        """
        events = batch.events(evidence)
        weights = liked_recency(events, self.config.recency)
        told = np.flatnonzero((weights > FAINT) & (events.items < self.items))
        known = np.flatnonzero(items < self.items)
        amounts = np.zeros((len(events.items), len(items)), np.float32)
        amounts[told[:, None], known] = self.block(events.items[told], items[known]) * weights[told, None]
        return amounts

    @abstractmethod
    def block(self, rows: Codes, columns: Codes) -> Floats:
        """Return W[rows, columns], float32, of items that were there when it was fitted."""


class LinearRecommender(ItemRecommender):
    """An item recommender that has W as it is: `fit` of a subclass ends with `self.weights = W`, dense or sparse."""

    weights: Floats | sp.csr_matrix

    def score_histories(self, histories: Histories) -> Floats:
        """Return the scores of all items, float32 [b, n]."""
        histories = histories.last(counted(self.config.recency))
        weights = recency_weights(histories, self.config.recency)
        if not isinstance(self.weights, sp.csr_matrix):
            return np.asarray(like_matrix(histories, self.items, weights) @ self.weights, np.float32)
        scores = np.empty((len(histories), self.items), np.float32)
        for row in range(len(histories)):  # scipy's product takes some three times as long for a single history
            span = slice(histories.indptr[row], histories.indptr[row + 1])
            found, lengths = entries(self.weights, histories.items[span])
            amounts = self.weights.data[found] * np.repeat(weights[span], lengths)
            scores[row] = np.bincount(self.weights.indices[found], amounts, self.items)
        return scores

    def block(self, rows: Codes, columns: Codes) -> Floats:
        """See `ItemRecommender.block`."""
        if isinstance(self.weights, sp.csr_matrix):
            place = np.full(self.items, -1, np.int32)
            place[columns] = np.arange(len(columns))
            found, lengths = entries(self.weights, rows)
            places = place[self.weights.indices[found]]
            wanted = places >= 0
            part = np.zeros((len(rows), len(columns)), np.float32)
            part[np.repeat(np.arange(len(rows)), lengths)[wanted], places[wanted]] = self.weights.data[found[wanted]]
            return part
        return np.asarray(self.weights[np.ix_(rows, columns)], np.float32)

    def save(self, folder: Path) -> None:
        """Write W as npy arrays."""
        arrays: dict[str, Any] = {"weights": self.weights}
        if sp.issparse(self.weights):
            arrays = {name: getattr(self.weights, name) for name in ("data", "indices", "indptr")}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read W, memory-mapped."""
        self.items = len(dataset.items)
        arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
        if "weights" in arrays:
            self.weights = arrays["weights"]
        else:
            parts = tuple(np.asarray(arrays[name]) for name in ("data", "indices", "indptr"))
            self.weights = sp.csr_matrix(parts, shape=(self.items, self.items), copy=False)
