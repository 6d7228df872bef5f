"""Popularity: what most people like, of all time or lately."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.query import Batch, Evidence
from twofold.core.scores import DenseScores
from twofold.core.stage import Retriever

__all__ = ["Popularity", "PopularityConfig"]

DAY = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PopularityConfig:
    """Options of popularity."""

    half_life_days: float | None = None
    """After how many days a like counts half. None: likes of all time count the same."""

    def __post_init__(self) -> None:
        if self.half_life_days is not None and self.half_life_days <= 0:
            raise ValueError("popularity wants half_life_days above 0; leave it out to count all time.")


class Popularity(Retriever):
    """Score of an item: its likes, each weighted `0.5 ** (age / half_life)` before the newest event of the log.

    The same for everyone; with a half-life this is "trending".
    """

    Config = PopularityConfig
    config: PopularityConfig
    state: ClassVar[tuple[str, ...]] = ("counts",)
    evidence: ClassVar[tuple[Evidence, ...]] = ("history", "nothing")

    counts: npt.NDArray[np.float32]
    """Weighted likes, float32 [n]."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Count the likes of the log."""
        likes = dataset.log.likes()
        weights = None
        if self.config.half_life_days is not None:
            age = dataset.log.timestamps.max(initial=0) - likes.timestamps
            weights = 0.5 ** (age / (self.config.half_life_days * DAY))
        self.counts = np.bincount(likes.items, weights, len(dataset.items)).astype(np.float32)
        return self

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Give new items a count of 0."""
        self.counts = np.pad(self.counts, (0, len(dataset.items) - len(self.counts)))

    def score(self, batch: Batch, evidence: Evidence) -> DenseScores:
        """Score all items, for every query alike."""
        return DenseScores(np.broadcast_to(self.counts, (len(batch), len(self.counts))))

    def score_events(self, histories: Histories) -> DenseScores:
        """Score all items, for every history alike."""
        return self.score(Batch.of_histories(histories), "nothing")
