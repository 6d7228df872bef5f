"""Content: what people would think of an item, foretold from what the catalogue says of it; for items without likes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.query import Batch, Evidence
from twofold.core.scores import Floats
from twofold.core.stage import Encoder, Stage
from twofold.models.attributes import Attributes
from twofold.models.ease import EASE, EASEConfig
from twofold.models.recommender import Recommender, like_matrix, liked_recency, recency_weights

__all__ = ["Content", "ContentConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentConfig:
    """Options of `Content`."""

    encoder: str = ""
    """The encoder of the recipe whose vectors of the items are read; "" for attributes alone."""
    attributes: float = 1.0
    """How much categories and other columns count against the encoder's vectors; 0 for not at all."""
    reg: float = 100.0
    """L2 penalty of the behaviour that is foretold, as of EASE; in likes."""
    ridge: float = 10.0
    """L2 penalty of foretelling it; in items."""
    recency: float = 1.0
    """Weight of each older like against the next newer one, in (0, 1]."""
    memory_gb: float = 4.0
    """Refuse to build a dense matrix that needs more."""

    def __post_init__(self) -> None:
        if min(self.reg, self.ridge, self.memory_gb) <= 0 or self.attributes < 0 or not 0 < self.recency <= 1:
            raise ValueError("content wants reg, ridge and memory_gb above 0, attributes >= 0 and recency in (0, 1].")
        if not self.encoder and not self.attributes:
            raise ValueError("content wants an encoder, or attributes above 0.")


class Content(Recommender):
    """A linear map from what is said of an item to what people do with it, so that an item without likes has a place.

    With EASE's item-item matrix B [n, n] of what people like together, and F [n, p] what is said of the items (the
    encoder's vectors, their attributes, and a 1), each column of B is foretold from its item's row of F by a ridge
    regression over the items that somebody liked:

        P = B F (F'F + ridge I)^-1            what having liked an item says, [n, p]
        score_j = (sum_i w_i P_i) F_j'

    B is never made. An item that nobody liked has `P_i = F_i R`, where R is the ridge regression of P on F; so a new
    item counts in a history too. Sources: Gantner et al., Learning attribute-to-feature mappings for cold-start
    recommendations, ICDM 2010; Steck, WWW 2019, for B.
    """

    Config = ContentConfig
    config: ContentConfig
    state: ClassVar[tuple[str, ...]] = ("features", "profiles", "bridge")
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType({"encoder": Encoder})  # type: ignore[type-abstract]

    features: Floats
    """F, float32 [n, p]."""
    profiles: Floats
    """P, float32 [n, p]."""
    bridge: Floats
    """R, float32 [p, p]."""
    attributes: Attributes

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Solve for P on the likes of the log.

        Raises:
            ConfigError: the dense matrix would not fit `memory_gb`.
        """
        config = self.config
        self.items = len(dataset.items)
        self.attributes = Attributes.of(dataset.items) if config.attributes else Attributes(values={}, knots={})
        vectors = self.linked["encoder"].vectors if config.encoder else np.zeros((self.items, 0), np.float32)
        self.features = self._described(dataset.items, vectors)
        ease = EASE(EASEConfig(reg=config.reg, memory_gb=config.memory_gb))
        try:
            ease.fit(dataset)
        except ConfigError:
            raise ConfigError(
                f"content stands on ease, which does not fit memory_gb = {config.memory_gb} with so many users and "
                "items; allow more memory."
            ) from None
        liked = self.features[ease.liked].astype(np.float64)
        inverse = np.linalg.inv(liked.T @ liked + config.ridge * np.eye(liked.shape[1]))
        profiles = ease.times(self.features).astype(np.float64) @ inverse
        bridge = inverse @ (liked.T @ profiles[ease.liked])
        self.profiles, self.bridge = profiles.astype(np.float32), bridge.astype(np.float32)
        unknown = np.setdiff1d(np.arange(self.items), ease.liked)
        self.profiles[unknown] = self.features[unknown] @ self.bridge
        return self

    def _described(self, items: pl.DataFrame, vectors: Floats) -> Floats:
        """Return the rows of F for items, of which the encoder's vectors are given."""
        one = np.ones((len(items), 1), np.float32)
        return np.concatenate((vectors, self.config.attributes * self.attributes.rows(items), one), axis=1)

    def score_histories(self, histories: Histories) -> Floats:
        """Return the scores of all items, float32 [b, n]."""
        weights = recency_weights(histories, self.config.recency) if self.config.recency < 1 else None
        tastes = like_matrix(histories, self.items, weights) @ self.profiles
        scores: Floats = tastes @ self.features.T
        return scores

    def contributions(self, batch: Batch, evidence: Evidence, items: Codes) -> Floats:
        """Return what each event adds to the scores of items, float32 [events, items]; a dislike adds 0."""
        events = batch.events(evidence)
        amounts: Floats = self.profiles[events.items] @ self.features[items].T
        return amounts * liked_recency(events, self.config.recency)[:, None]

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Describe items that changed or are new; these count by what is said of them alone."""
        rows = changed.astype(np.int64)
        known, self.items = self.items, len(dataset.items)
        vectors = self.linked["encoder"].vectors[rows] if self.config.encoder else np.zeros((len(rows), 0), np.float32)
        described = self._described(dataset.items[rows], vectors)
        self.features, self.profiles = (_longer(array, self.items) for array in (self.features, self.profiles))
        self.features[rows] = described
        fresh = rows >= known
        self.profiles[rows[fresh]] = described[fresh] @ self.bridge

    def save(self, folder: Path) -> None:
        """Write the arrays, and how attributes become numbers."""
        super().save(folder)
        (folder / "attributes.json").write_text(json.dumps(self.attributes.as_table()), encoding="utf-8")

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; arrays are memory-mapped."""
        super().restore(folder, dataset)
        self.attributes = Attributes(**json.loads((folder / "attributes.json").read_text(encoding="utf-8")))


def _longer(array: Floats, rows: int) -> Floats:
    """Return a copy with so many rows; further ones are 0."""
    longer = np.zeros((rows, array.shape[1]), np.float32)
    longer[: len(array)] = array
    return longer
