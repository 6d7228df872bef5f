"""Popularity: what most people like, of all time or lately."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.query import Batch, Evidence
from twofold.core.scores import CommonScores, DenseScores, Floats
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
    newest: int
    """When the newest event was, in milliseconds since 1970."""

    def __init__(self, config: PopularityConfig | None = None) -> None:
        super().__init__(config)
        self._kept: tuple[Floats, Codes, Floats] | None = None

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Count the likes of the log."""
        likes = dataset.log.likes()
        self.newest = int(dataset.log.timestamps.max(initial=0))
        self.counts = self._counted(likes, len(dataset.items))
        return self

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; arrays are memory-mapped."""
        super().restore(folder, dataset)
        self.newest = int(dataset.log.timestamps.max(initial=0))

    def observe(self, events: Histories) -> None:
        """Count likes that came since; what was counted before ages by as much as they are newer."""
        likes = events.likes()
        before, self.newest = self.newest, max(self.newest, int(events.timestamps.max(initial=0)))
        aged = self.counts * self._weight(self.newest - before)
        self.counts = (aged + self._counted(likes, len(self.counts))).astype(np.float32)

    def _counted(self, likes: Histories, items: int) -> npt.NDArray[np.float32]:
        """Return the weighted likes of each item at the time of the newest event."""
        weights = self._weight(self.newest - likes.timestamps)
        return np.bincount(likes.items, np.broadcast_to(weights, likes.items.shape), items).astype(np.float32)

    def _weight(self, age: int | npt.NDArray[np.int64]) -> float | npt.NDArray[np.float64]:
        """Return what a like counts at an age in milliseconds."""
        return 1.0 if self.config.half_life_days is None else 0.5 ** (age / (self.config.half_life_days * DAY))

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Give new items a count of 0."""
        self.counts = np.pad(self.counts, (0, len(dataset.items) - len(self.counts)))

    def score(self, batch: Batch, evidence: Evidence) -> CommonScores:
        """Score all items, for every query alike."""
        counts = self.counts  # others may take their place meanwhile
        return CommonScores(np.broadcast_to(counts, (len(batch), len(counts))), partial(self._ranked, counts))

    def _ranked(self, counts: Floats, k: int) -> tuple[Codes, Floats]:
        """Return the ranking of the k best, kept until counts change: many queries ask for it between two events."""
        kept = self._kept
        if kept is None or kept[0] is not counts or kept[1].shape[1] < min(k, len(counts)):
            self._kept = kept = (counts, *DenseScores(np.asarray(counts)[None]).top(k))
        return kept[1][:, :k], kept[2][:, :k]

    def score_events(self, histories: Histories) -> CommonScores:
        """Score all items, for every history alike."""
        return self.score(Batch.of_histories(histories), "nothing")
