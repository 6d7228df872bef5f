"""`VectorRecommender`: a state of the user meets a vector of the item. The form of all neural recommenders."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.query import Batch, Evidence
from twofold.core.scores import DenseScores, Floats
from twofold.core.stage import Encoder, Stage
from twofold.models.recommender import Recommender

__all__ = ["VectorRecommender"]

EXPLAINED = 8
"""Newest likes that are left out, one at a time, to learn what each is worth."""


class VectorRecommender(Recommender):
    """Scores are log-lifts, `z_j - log mean_i exp z_i` with `z_j = s . e_j + b_j`, for a history's state s.

    So a score says how much likelier than an item at random an item is held to be, as a logarithm: it means the same
    in every query, as fusion wants it. e_j and b_j are the item's vector and bias.

    `e_j` is what the model learned of the item (`ids`) plus, where the recipe names an encoder, a linear map of
    the item's content. An item that nobody touched has the latter alone and an average bias, so it is found at
    once; without content there is no opinion of it. A subclass's `fit` calls `_compact`, trains, and calls `_adopt`.
    """

    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType({"encoder": Encoder})  # type: ignore[type-abstract]
    state: ClassVar[tuple[str, ...]] = ("ids", "bias", "projection", "centre")

    ids: Floats
    """Vectors of the items without their content, float32 [n, d]."""
    bias: Floats
    """Float32 [n]; NaN where there is no opinion of an item."""
    projection: Floats | None
    """From content to vectors, float32 [c, d]; None without an encoder."""
    centre: Floats | None
    """The mean content, float32 [c]."""
    table: Floats
    """The vectors of the items, float32 [n, d]; made from the above."""

    @abstractmethod
    def states(self, histories: Histories) -> Floats:
        """Return the states at the end of histories, float32 [b, d]; each has an event, all of known items."""

    def score_events(self, histories: Histories) -> DenseScores:
        """Score all items for histories of any events; one without a like of a known item gets no opinion (NaN)."""
        known = histories.where(~np.isnan(self.bias)[histories.items])
        asked = np.flatnonzero(known.likes().lengths > 0)
        scores = np.full((len(histories), self.items), np.nan, np.float32)
        if len(asked):
            scores[asked] = self.score_histories(known.take(asked))
        return DenseScores(scores)

    def score_histories(self, histories: Histories) -> Floats:
        """Return the scores of all items, float32 [b, n]; NaN for items without an opinion."""
        return self.score_states(self.states(histories))

    def score_states(self, states: Floats) -> Floats:
        """Return the scores of all items for states [b, d], float32 [b, n]."""
        scores = states @ self.table.T + self.bias
        scores -= np.nanmax(scores, axis=1, keepdims=True)
        scores -= np.log(np.nanmean(np.exp(scores), axis=1, keepdims=True))
        return scores

    def contributions(self, batch: Batch, evidence: Evidence, items: Codes) -> Floats:
        """Return how much each event of a batch of one raises the scores of items, float32 [events, items].

        That is by how much the scores fall when the event is left out. Only the newest likes are looked at, and the
        others are 0.
        """
        events = batch.events(evidence)
        amounts = np.zeros((len(events.items), len(items)), np.float32)
        places = np.flatnonzero(events.values > 0)[-EXPLAINED:]
        without = [events.where(np.arange(len(events.items)) != place) for place in places]
        scores = np.nan_to_num(self.score_events(Histories.concatenate([events, *without])).values[:, items])
        amounts[places] = scores[0] - scores[1:]
        return amounts

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Take in new and redescribed items through their content."""
        more = len(dataset.items) - self.items
        self.items = len(dataset.items)
        self.ids = np.pad(self.ids, ((0, more), (0, 0)))
        self.bias = np.pad(self.bias, (0, more), constant_values=np.nan)
        self._refresh()

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote."""
        super().restore(folder, dataset)
        self._refresh()

    def _compact(self, dataset: Dataset) -> tuple[Codes, Histories, Floats | None]:
        """Return the items that somebody touched [m], the log in places among them, and their content [m, c]."""
        self.items = len(dataset.items)
        log, touched = dataset.log, np.unique(dataset.log.items)
        compact = Histories(
            indptr=log.indptr,
            items=np.searchsorted(touched, log.items).astype(np.int32),
            values=log.values,
            timestamps=log.timestamps,
        )
        content, self.centre = self._content(), None
        if content is not None:
            described = content.any(axis=1)
            self.centre = content.sum(axis=0) / max(int(described.sum()), 1)
            content = self._centred(content)[touched]
        return touched, compact, content

    def _adopt(self, touched: Codes, ids: Floats, bias: Floats, projection: Floats | None) -> None:
        """Take over what was learned of the items that somebody touched."""
        self.ids = np.zeros((self.items, ids.shape[1]), np.float32)
        self.ids[touched] = ids
        self.bias = np.full(self.items, np.nan, np.float32)
        self.bias[touched] = bias
        self.projection = projection
        self._refresh()

    def _refresh(self) -> None:
        """Make the table of all items' vectors."""
        self.table = self.ids
        content = self._content()
        if content is None or self.projection is None:
            return
        self.table = self.ids + self._centred(content) @ self.projection
        known = ~np.isnan(self.bias)
        self.bias = np.where(~known & content.any(axis=1), self.bias[known].mean(), self.bias)

    def _content(self) -> Floats | None:
        """Return what the encoder says of all items, [n, c]; None without an encoder."""
        encoder = self.linked.get("encoder")
        return None if encoder is None else np.asarray(encoder.vectors, np.float32)

    def _centred(self, content: Floats) -> Floats:
        """Return content without what all items share; nothing stays nothing."""
        assert self.centre is not None
        return np.where(content.any(axis=1, keepdims=True), content - self.centre, np.float32(0))
