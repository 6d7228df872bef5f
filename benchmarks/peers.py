"""Peers: other libraries' recommenders, asked through the same two calls."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from twofold.core import Dataset, DenseScores, Histories
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.data import Cases
from twofold.models.recommender import like_matrix

__all__ = ["ImplicitALS", "ImplicitKNN", "LensKit", "Peer"]

CHUNK = 512


@dataclass
class Peer(ABC):
    """A recommender of another library with its options; falls back on popularity as Twofold's rows do."""

    options: dict[str, Any]

    @abstractmethod
    def fit(self, likes: sp.csr_matrix) -> None:
        """Fit on a user-item matrix of ones."""

    @abstractmethod
    def score(self, likes: sp.csr_matrix) -> Floats:
        """Return scores for rows of likes, float32 [b, n]."""

    def rank(self, train: Dataset, cases: Cases, fallback: Floats, depth: int) -> tuple[Codes, Floats]:
        """Rank all items for all cases, what was seen removed; a case without a like gets the fallback [n]."""
        size = len(train.items)
        items = np.full((len(cases), depth), -1, np.int32)
        scores = np.full((len(cases), depth), -np.inf, np.float32)
        for rows, part in cases.parts(CHUNK):
            likes = part.histories.likes()
            values = np.array(self.score(like_matrix(likes, size)), np.float32)
            values[likes.lengths == 0] = fallback
            items[rows], scores[rows] = DenseScores(values).top(depth, part.allowed(size))
        return items, scores


class ImplicitALS(Peer):
    """`implicit`'s AlternatingLeastSquares, called as its documentation says."""

    def fit(self, likes: sp.csr_matrix) -> None:
        """Fit with as many threads as Twofold's row uses."""
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415  a peer is imported when it runs

        with threadpool_limits(1, "blas"):
            self.model = AlternatingLeastSquares(random_state=0, **self.options)
            self.model.fit(likes, show_progress=False)

    def score(self, likes: sp.csr_matrix) -> Floats:
        """Fold users in by the library's own `recalculate_user`."""
        with threadpool_limits(1, "blas"):
            users = self.model.recalculate_user(np.arange(likes.shape[0]), likes)
        return np.asarray(np.asarray(users).reshape(likes.shape[0], -1) @ self.model.item_factors.T)


class ImplicitKNN(Peer):
    """`implicit`'s cosine item-item recommender."""

    def fit(self, likes: sp.csr_matrix) -> None:
        """Fit the similarities."""
        from implicit.nearest_neighbours import CosineRecommender  # noqa: PLC0415

        self.model = CosineRecommender(**self.options)
        self.model.fit(likes, show_progress=False)

    def score(self, likes: sp.csr_matrix) -> Floats:
        """Sum the similarities over the history, as the library's `recommend` does."""
        return np.asarray((likes @ self.model.similarity).toarray(), np.float32)


class LensKit(Peer):
    """A scorer of LensKit, asked user by user with the user's items: `scorer` names the class."""

    def fit(self, likes: sp.csr_matrix) -> None:
        """Train the scorer on the likes."""
        import pandas as pd  # noqa: PLC0415
        from lenskit.data import from_interactions_df  # noqa: PLC0415
        from lenskit.knn import EASEScorer, ItemKNNScorer  # noqa: PLC0415
        from lenskit.training import TrainingOptions  # noqa: PLC0415

        options = dict(self.options)
        scorer: Any = {"ease": EASEScorer, "item-knn": ItemKNNScorer}[options.pop("scorer")]
        table = likes.tocoo()
        data = from_interactions_df(pd.DataFrame({"user_id": table.row, "item_id": table.col}))
        self.known = np.unique(table.col)
        self.model = scorer(**options)
        self.model.train(data, TrainingOptions(rng=0))

    def score(self, likes: sp.csr_matrix) -> Floats:
        """Ask for the scores of all items that were fitted on; LensKit's kNN stops with a panic at another one."""
        from lenskit.data import ItemList, RecQuery  # noqa: PLC0415

        everything = ItemList(item_ids=self.known)
        scores = np.full(likes.shape, -np.inf, np.float32)
        for row in range(likes.shape[0]):
            liked = likes.indices[likes.indptr[row] : likes.indptr[row + 1]]
            history = ItemList(item_ids=np.intersect1d(liked, self.known))
            found = self.model(RecQuery(user_items=history), everything).scores()
            scores[row, self.known] = np.nan_to_num(np.asarray(found, np.float32), nan=-np.inf)
        return scores


def likes_of(histories: Histories, items: int) -> sp.csr_matrix:
    """Return the likes of a log as the matrix that peers are fitted on."""
    return like_matrix(histories.likes(), items)
