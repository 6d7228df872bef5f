"""Sparse EASE: the same regression, each item explained by a few others, for large catalogues."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from twofold.core.dataset import Dataset
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.models.recommender import LinearRecommender, like_matrix
from twofold.models.sparse import keep_largest

__all__ = ["SparseEASE", "SparseEASEConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseEASEConfig:
    """Options of sparse EASE."""

    reg: float = 300.0
    """L2 penalty; in likes."""
    neighbours: int = 100
    """How many items may explain each item."""
    recency: float = 1.0
    """Weight of each older like against the next newer one, in (0, 1]."""

    def __post_init__(self) -> None:
        if self.reg <= 0 or self.neighbours < 1 or not 0 < self.recency <= 1:
            raise ValueError("sparse-ease wants reg above 0, neighbours >= 1 and recency above 0 and at most 1.")


class SparseEASE(LinearRecommender):
    """EASE with a bounded support: column j solves `(G_NN + reg I) b = G_Nj` over the items N most alike to j.

    `G = X'X` counts shared likes; N are the `neighbours` items with the largest cosine. With all items in
    N this is EASE itself, since the columns of EASE are independent ridge regressions. Memory is
    items x neighbours. Source: the feature selection of Ning & Karypis, SLIM, ICDM 2011 (fsSLIM), with
    the L2 penalty of Steck, WWW 2019.
    """

    Config = SparseEASEConfig
    config: SparseEASEConfig

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Choose each item's neighbours, then solve its regression."""
        self.items = len(dataset.items)
        likes = like_matrix(dataset.log.likes(), self.items).tocsc()
        counts = np.maximum(np.asarray(likes.sum(axis=0)).ravel(), 1)

        def cosine(rows: slice) -> sp.csr_matrix:
            shared = (likes[:, rows].T @ likes).tocoo()
            similar = shared.data / np.sqrt(counts[rows][shared.row] * counts[shared.col])
            return sp.csr_matrix((similar, (shared.row, shared.col)), shape=shared.shape)

        near = keep_largest(cosine, self.items, self.config.neighbours)
        solved = np.zeros(near.nnz, np.float32)
        # Thousands of small systems: threads would cost more than they bring.
        with threadpool_limits(1, "blas"):
            for item in range(self.items):
                span = slice(near.indptr[item], near.indptr[item + 1])
                solved[span] = self._solve(likes, near.indices[span], item)
        self.weights = sp.csr_matrix((solved, near.indices, near.indptr), shape=near.shape).T.tocsr()
        return self

    def _solve(self, likes: sp.csc_matrix, support: Codes, item: int) -> Floats:
        """Return the weights by which the items of the support explain one item, shape [support]."""
        if not len(support):
            return np.empty(0, np.float32)
        features = likes[:, np.append(support, item)]
        gram = np.asarray((features.T @ features).toarray(), np.float64)
        left = gram[:-1, :-1] + self.config.reg * np.eye(len(support))
        return np.asarray(la.solve(left, gram[:-1, -1], assume_a="pos", check_finite=False), np.float32)
