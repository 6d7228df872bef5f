"""`TwoTower`: a user's history and an item, each made a vector of the same space, meet in a dot product."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import numpy as np

from twofold.core.dataset import Dataset
from twofold.core.errors import needed_for
from twofold.core.history import Histories
from twofold.core.scores import Floats
from twofold.models.recommender import like_matrix, recency_weights
from twofold.models.vectors import VectorRecommender
from twofold.train.options import Training

__all__ = ["TwoTower", "TwoTowerConfig", "TwoTowerTraining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoTowerTraining(Training):
    """How long and how the towers are trained."""

    lr: float = 2e-3
    """The largest learning rate of AdamW."""
    epochs: int | None = 20
    """How often the histories are gone through."""
    minutes: float | None = 5.0
    """By when it ends, evaluation included."""
    patience: int = 10
    """Stop after so many evaluations in a row without a better held-out quality; 0 for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoTowerConfig:
    """Options of the two towers."""

    width: int = 64
    """Length of the vectors."""
    inner: int = 128
    """Width of the user tower's hidden layer."""
    recency: tuple[float, ...] = (0.6, 0.95)
    """The user tower sees the mean of the liked items' vectors once for each: an older like weighs so much of the
    next newer one, above 0 and at most 1."""
    length: int = 100
    """How many of a user's newest likes are looked at."""
    dropout: float = 0.2
    """Share of the numbers of an item's vector that the user tower does not see in training."""
    loss: Literal["in-batch", "sampled"] = "in-batch"
    """A like is told apart from the other likes of its batch, or from `negatives` items drawn by popularity; either
    way what is drawn more often is corrected for (logQ)."""
    negatives: int = 2_000
    """Sampled loss: items that a batch is told apart from."""
    encoder: str = ""
    """An encoder of the recipe, which gives the item tower an item's content. Empty for none."""
    content_dropout: float = 0.1
    """Share of items that a batch knows by their content alone, where there is an encoder."""
    tokens: int = 4_096
    """Likes in a batch, padding included."""
    holdout: int = 1_000
    """Users whose last like is kept for early stopping, at most one in ten; 0 for none."""
    training: TwoTowerTraining = field(default_factory=TwoTowerTraining)
    checkpoint: str = ""
    """A folder in which an interrupted `fit` leaves off and goes on. Empty for none."""

    def __post_init__(self) -> None:
        if min(self.width, self.inner, self.negatives) < 1 or self.length < 2 or self.tokens < self.length:
            raise ValueError("two-tower wants width, inner and negatives >= 1, length >= 2 and tokens >= length.")
        if not self.recency or not all(0 < recency <= 1 for recency in self.recency) or self.holdout < 0:
            raise ValueError("two-tower wants recency to list numbers above 0 and at most 1, and holdout >= 0.")
        if not (0 <= self.dropout < 1 and 0 <= self.content_dropout < 1):
            raise ValueError("two-tower wants the dropouts from 0 to below 1.")


class TwoTower(VectorRecommender):
    """A user is `u = A p + C relu(B p + b) + c`, an item `v_j = id_j + W content_j`, and the score `u . v_j + b_j`.

    p holds the recency-weighted means of the liked items' own vectors, so a user is what they did and a new user
    has a vector at once. Whether an event is a like is said by the sign of its value; a rating is never taken for a
    probability. It is trained with torch to tell each like from what was liked before it, and scores with numpy
    alone. Sources: Covington et al., RecSys 2016; Yi et al., RecSys 2019 (logQ correction).
    """

    Config = TwoTowerConfig
    config: TwoTowerConfig
    state: ClassVar[tuple[str, ...]] = (*VectorRecommender.state, "straight", "widen", "lift", "narrow", "shift")

    straight: Floats
    """A', float32 [pools * width, width]."""
    widen: Floats
    """B', float32 [pools * width, inner]."""
    lift: Floats
    """b, float32 [inner]."""
    narrow: Floats
    """C', float32 [inner, width]."""
    shift: Floats
    """c, float32 [width]."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Train on the likes of the log.

        Raises:
            DataError: nobody has two likes.
            MissingExtraError: torch is not installed.
        """
        with needed_for("fitting two towers", "train"):
            from twofold.models.towers import fit_towers  # noqa: PLC0415  torch is for training only
        touched, log, content = self._compact(dataset.with_log(dataset.log.likes()))
        weights, self.report = fit_towers(
            self.config,
            log,
            content,
            seed=int(np.random.default_rng(rng).integers(2**31)),
            about=dataset.fingerprint(),
            progress=self.progress,
        )
        self.straight, self.widen, self.narrow = (
            weights[f"{name}.weight"].T for name in ("straight", "widen", "narrow")
        )
        self.lift, self.shift = weights["widen.bias"], weights["narrow.bias"]
        projection = weights["project.weight"].T if "project.weight" in weights else None
        self._adopt(touched, weights["ids"], weights["bias"], projection)
        return self

    def states(self, histories: Histories) -> Floats:
        """Return the vectors of users, float32 [b, d]."""
        likes = histories.likes().last(self.config.length)
        pools = []
        for recency in self.config.recency:
            weights = recency_weights(likes, recency)
            totals = np.bincount(likes.rows, weights, minlength=len(likes))
            matrix = like_matrix(likes, self.items, (weights / totals[likes.rows]).astype(np.float32))
            pools.append(matrix @ self.table)
        pooled = np.concatenate(pools, axis=1)
        inner = np.maximum(pooled @ self.widen + self.lift, 0)
        states: Floats = pooled @ self.straight + inner @ self.narrow + self.shift
        return states
