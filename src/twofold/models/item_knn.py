"""Item-kNN: items are alike when the same people like them."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import scipy.sparse as sp

from twofold.core.dataset import Dataset
from twofold.core.scores import Floats
from twofold.models.recommender import LinearRecommender, like_matrix
from twofold.models.sparse import keep_largest

__all__ = ["ItemKNN", "ItemKNNConfig"]

SMALL = 1e-6
"""A spread below it is one of equal values, up to rounding: no correlation can be computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKNNConfig:
    """Options of item-kNN."""

    similarity: Literal["cosine", "pearson"] = "cosine"
    """`cosine` compares who liked two items; `pearson` the signed feedback of those who know both."""
    neighbours: int = 100
    """How many similar items each item keeps."""
    shrink: float = 20.0
    """Similarity is damped by `n / (n + shrink)`, n being how many people two items share."""
    recency: float = 0.98
    """Weight of each older like against the next newer one, in (0, 1]."""

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.shrink < 0 or not 0 < self.recency <= 1:
            raise ValueError("item-knn wants neighbours >= 1, shrink >= 0 and recency above 0 and at most 1.")


class ItemKNN(LinearRecommender):
    """Item-based nearest neighbours, scored by a sum over the history.

    Cosine: `s_ij = |U_i & U_j| / sqrt(|U_i| |U_j|)` over the sets of people who liked an item.
    Pearson: the correlation of the signed feedback of those who gave any on both items; a negative one
    is dropped. Sources: Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004.
    """

    Config = ItemKNNConfig
    config: ItemKNNConfig

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Compute the similarities in blocks of items and keep the largest of each."""
        self.items = len(dataset.items)
        self.weights = (self._cosine if self.config.similarity == "cosine" else self._pearson)(dataset)
        return self

    def _cosine(self, dataset: Dataset) -> sp.csr_matrix:
        likes = like_matrix(dataset.log.likes(), self.items)
        fans = likes.T.tocsr()
        norms = np.sqrt(np.maximum(np.asarray(likes.sum(axis=0)).ravel(), 1)).astype(np.float32)

        def block(rows: slice) -> sp.csr_matrix:
            shared = (fans[rows] @ likes).tocoo()
            damped = shared.data / (shared.data + self.config.shrink)
            similar = damped * shared.data / (norms[rows][shared.row] * norms[shared.col])
            return sp.csr_matrix((similar, (shared.row, shared.col)), shape=shared.shape)

        return keep_largest(block, self.items, self.config.neighbours)

    def _pearson(self, dataset: Dataset) -> sp.csr_matrix:
        log = dataset.log
        shape = (len(log), self.items)
        # The newest opinion of a pair counts; a value of 0 must stay an entry, so values move up by 2.
        newest = np.unique(log.rows[::-1] * self.items + log.items[::-1], return_index=True)[1]
        event = len(log.items) - 1 - newest
        values = sp.csr_matrix((log.values[event] + 2, (log.rows[event], log.items[event])), shape=shape)
        values.data -= 2
        known, squares = values.copy(), values.copy()
        known.data[:] = 1
        squares.data **= 2
        known_by, values_by, squares_by = (matrix.T.tocsr() for matrix in (known, values, squares))

        def block(rows: slice) -> sp.csr_matrix:
            def total(left: sp.csr_matrix, right: sp.csr_matrix) -> Floats:
                return np.asarray((left[rows] @ right).toarray())

            n, xy = total(known_by, known), total(values_by, values)
            x, y = total(values_by, known), total(known_by, values)
            left = np.maximum(n * total(squares_by, known) - x * x, 0)
            spread = np.sqrt(left * np.maximum(n * total(known_by, squares) - y * y, 0))
            similar = np.divide(n * xy - x * y, spread, out=np.zeros_like(xy), where=spread > SMALL)
            return sp.csr_matrix(np.maximum(similar, 0) * n / np.maximum(n + self.config.shrink, 1))

        return keep_largest(block, self.items, self.config.neighbours)
