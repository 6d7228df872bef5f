"""Transitions: what people turn to after an item, within a short window."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp

from twofold.core.dataset import Dataset
from twofold.models.recommender import LinearRecommender

__all__ = ["Transitions", "TransitionsConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionsConfig:
    """Options of transitions."""

    window: int = 10
    """How many later likes of a user count as following an item."""
    decay: float = 0.7
    """What each step of distance multiplies the count by, in (0, 1]."""
    damping: float = 0.1
    """Counts are divided by `likes ** damping` of the item that follows; 0 leaves popularity in, 1 takes it out."""
    recency: float = 0.6
    """Weight of each older like against the next newer one, in (0, 1]."""

    def __post_init__(self) -> None:
        if self.window < 1 or not (0 < self.decay <= 1 and 0 < self.recency <= 1) or self.damping < 0:
            raise ValueError(
                "transitions wants window >= 1, damping >= 0, and decay and recency above 0 and at most 1."
            )


class Transitions(LinearRecommender):
    """A sparse, directed item-item model: `W_ij = c_ij / (sum_j c_ij * likes_j ** damping)`.

    `c_ij` sums `decay ** (d - 1)` over all places where a user liked j as the d-th like after i,
    `d <= window`. The idea is that of Markov chains (Rendle et al., WWW 2010) and of sequential
    rules (Ludewig & Jannach, UMUAI 2018), summed over the recent history.
    """

    Config = TransitionsConfig
    config: TransitionsConfig

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Count the transitions of the log."""
        self.items = len(dataset.items)
        likes = dataset.log.likes()
        users = likes.rows
        counts = sp.csr_matrix((self.items, self.items), dtype=np.float32)
        for distance in range(1, self.config.window + 1):
            same = users[:-distance] == users[distance:]
            before, after = likes.items[:-distance][same], likes.items[distance:][same]
            step = np.full(len(before), self.config.decay ** (distance - 1), np.float32)
            counts = counts + sp.csr_matrix((step, (before, after)), shape=counts.shape)
        counts.setdiag(0)
        counts.eliminate_zeros()
        totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
        popularity = np.maximum(dataset.item_counts, 1) ** self.config.damping
        counts.data /= np.repeat(totals, np.diff(counts.indptr)) * popularity[counts.indices]
        self.weights = counts.astype(np.float32)
        return self
