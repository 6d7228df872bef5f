"""ALS: implicit-feedback matrix factorisation, from the library `implicit`, with fold-in."""

import os
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from threadpoolctl import threadpool_limits

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.scores import Floats
from twofold.models.recommender import Recommender, like_matrix, recency_weights

__all__ = ["ALS", "ALSConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ALSConfig:
    """Options of ALS."""

    factors: int = 64
    """Length of an item's vector."""
    reg: float = 1.0
    """L2 penalty on the vectors."""
    alpha: float = 10.0
    """Confidence of a like; one of what was not touched is 1."""
    iterations: int = 15
    """How often both sides are solved."""
    recency: float = 1.0
    """Weight of each older like against the next newer one when a history is folded in, in (0, 1]."""
    threads: int | None = None
    """Threads used in `fit`; None takes all cores that the process may use."""

    def __post_init__(self) -> None:
        if min(self.factors, self.iterations, self.threads or 1) < 1 or self.reg < 0 or self.alpha <= 0:
            raise ValueError("als wants factors, iterations and threads >= 1, reg >= 0 and alpha above 0.")
        if not 0 < self.recency <= 1:
            raise ValueError("als wants recency above 0 and at most 1.")


class ALS(Recommender):
    """Alternating least squares on implicit feedback.

    A history h becomes a user vector by one half-step against the fixed item vectors Y:
    `u = (Y'Y + sum_h (c_h - 1) y_h y_h' + reg I)^-1 sum_h c_h y_h` with `c_h = alpha * recency ** age`;
    scores are `Y u`. Sources: Hu, Koren & Volinsky, ICDM 2008; the library `implicit`.
    """

    Config = ALSConfig
    config: ALSConfig
    state: ClassVar[tuple[str, ...]] = ("vectors",)

    vectors: Floats
    """Item vectors Y, float32 [n, factors]."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Factorise the likes of the log."""
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415  takes a second to import

        self.items = len(dataset.items)
        likes = like_matrix(dataset.log.likes(), self.items)
        # implicit runs its own threads; BLAS threads beneath them would fight for the same cores.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.reg,
                alpha=self.config.alpha,
                iterations=self.config.iterations,
                num_threads=self.config.threads or len(os.sched_getaffinity(0)),
                random_state=int(np.random.default_rng(rng).integers(2**31)),
            )
            model.fit(likes, show_progress=False)
        self.vectors = np.asarray(model.item_factors, np.float32)
        self.vectors[np.asarray(likes.sum(axis=0)).ravel() == 0] = 0
        return self

    def score_histories(self, histories: Histories) -> Floats:
        """Return the scores of all items, float32 [b, n]."""
        return self.fold_in(histories) @ self.vectors.T

    def fold_in(self, histories: Histories) -> Floats:
        """Return the user vectors of histories of likes, float32 [b, factors]."""
        weights = recency_weights(histories, self.config.recency) if self.config.recency < 1 else None
        matrix = like_matrix(histories, self.items, weights)
        gram = self.vectors.T @ self.vectors + self.config.reg * np.eye(self.vectors.shape[1], dtype=np.float32)
        users = np.empty((len(histories), self.vectors.shape[1]), np.float32)
        for row in range(len(histories)):
            span = slice(matrix.indptr[row], matrix.indptr[row + 1])
            liked = self.vectors[matrix.indices[span]]
            confidence = self.config.alpha * matrix.data[span]
            users[row] = np.linalg.solve(gram + (liked.T * (confidence - 1)) @ liked, confidence @ liked)
        return users
