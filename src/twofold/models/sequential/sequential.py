"""`Sequential`: what comes next, told by a transformer from the order, the times and the values of what was before."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import onnxruntime as ort

from twofold.core.dataset import Dataset
from twofold.core.errors import MissingExtraError
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.scores import DenseScores, Floats
from twofold.core.stage import Encoder, Stage
from twofold.models.recommender import Recommender
from twofold.models.sequential.config import SequentialConfig
from twofold.models.sequential.events import Block, blocks
from twofold.models.sequential.positions import visible

__all__ = ["Sequential"]

AT_ONCE = 64
"""Histories of like length that go through the network together."""


class Sequential(Recommender):
    """A transformer over histories: the state s at a history's end scores item j by `s . e_j + b_j`.

    An item's vector is what the model learned of it plus, where the recipe names an encoder, a linear map of its
    content; an item that nobody touched has the latter alone and an average bias, so it is found at once. Without
    an encoder there is no opinion of it. Dislikes are read, never predicted. Sources: Kang & McAuley, ICDM 2018;
    Sun et al., CIKM 2019; Klenitskiy & Vasilev, RecSys 2023 (full cross-entropy).

    It is trained with torch, and scores with ONNX Runtime and numpy alone.
    """

    Config = SequentialConfig
    config: SequentialConfig
    needs: ClassVar[Mapping[str, type[Stage]]] = {"encoder": Encoder}
    state: ClassVar[tuple[str, ...]] = ("ids", "bias", "hidden", "projection", "centre")

    ids: Floats
    """Vectors of the items without their content, float32 [n, d]; d is `members * width`."""
    bias: Floats
    """Float32 [n]; NaN where there is no opinion of an item."""
    hidden: Floats
    """The vector of a hidden item, float32 [d]."""
    projection: Floats | None
    """From content to vectors, float32 [c, d]."""
    centre: Floats | None
    """The mean content, float32 [c]."""
    graphs: list[bytes]
    """The networks, as ONNX files."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Train on the log.

        Raises:
            DataError: nobody has two events.
            MissingExtraError: torch is not installed.
        """
        try:
            from twofold.models.sequential.fitting import fit_networks  # noqa: PLC0415  torch is for training only
        except ImportError as error:
            raise MissingExtraError(
                f"a sequential model is trained with {error.name!r}; install it with `pip install 'twofold[train]'`."
            ) from error
        self.items = len(dataset.items)
        touched = np.unique(dataset.log.items)
        log = dataset.log
        compact = Histories(
            indptr=log.indptr,
            items=np.searchsorted(touched, log.items).astype(np.int32),
            values=log.values,
            timestamps=log.timestamps,
        )
        content = self._content(touched)
        self.centre = None
        if content is not None:
            self.centre = content[content.any(axis=1)].mean(axis=0)
            content = self._centred(content)
        seed = int(np.random.default_rng(rng).integers(2**31))
        members = fit_networks(
            self.config, compact, content, seed=seed, about=dataset.fingerprint(), progress=self.progress
        )
        self.ids = np.zeros((self.items, self.config.width * len(members)), np.float32)
        self.ids[touched] = np.concatenate([member.ids for member in members], axis=1)
        self.bias = np.full(self.items, np.nan, np.float32)
        self.bias[touched] = np.sum([member.bias for member in members], axis=0)
        self.hidden = np.concatenate([member.hidden for member in members])
        projections = [member.projection for member in members if member.projection is not None]
        self.projection = np.concatenate(projections, axis=1) if projections else None
        self.graphs = [member.graph for member in members]
        self.reports = [member.report for member in members]
        self._ready()
        return self

    def _content(self, items: Codes | slice = slice(None)) -> Floats | None:
        """Return what the encoder says of items, [items, c]; None without an encoder."""
        encoder = self.linked.get("encoder")
        return None if encoder is None else np.asarray(encoder.vectors[items], np.float32)

    def _centred(self, content: Floats) -> Floats:
        """Return content without what all items share; nothing stays nothing."""
        return np.where(content.any(axis=1, keepdims=True), content - self.centre, np.float32(0))

    def _ready(self) -> None:
        """Make the table of all items' vectors, and open the networks."""
        self.table = self.ids
        content = self._content()
        if content is not None and self.projection is not None:
            self.table = self.ids + self._centred(content) @ self.projection
            known = ~np.isnan(self.bias)
            fresh = ~known & content.any(axis=1)
            self.bias = np.where(fresh, self.bias[known].mean(), self.bias)
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.config.threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        self.sessions = [
            ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"]) for graph in self.graphs
        ]

    def score_events(self, histories: Histories) -> DenseScores:
        """Score all items for histories of any events; one without a like of a known item gets no opinion (NaN)."""
        known = histories.where(~np.isnan(self.bias)[histories.items])
        asked = np.flatnonzero(known.likes().lengths > 0)
        scores = np.full((len(histories), self.items), np.nan, np.float32)
        if len(asked):
            scores[asked] = self.score_histories(known.take(asked))
        return DenseScores(scores)

    def score_histories(self, histories: Histories) -> Floats:
        """Return the scores of all items, float32 [b, n], for histories of any events, none of them empty."""
        return self.states(histories) @ self.table.T + self.bias

    def states(self, histories: Histories) -> Floats:
        """Return the networks' states at the end of histories, float32 [b, d], those of all members side by side."""
        states = np.empty((len(histories), self.table.shape[1]), np.float32)
        hidden = self.items if self.config.objective == "masked" else None
        for rows, events in blocks(histories.last(visible(self.config)), AT_ONCE, hidden=hidden):
            vectors = self.table[np.minimum(events.items, self.items - 1)]
            vectors[events.items == self.items] = self.hidden
            parts = np.split(vectors, len(self.sessions), axis=2)
            states[rows] = np.concatenate(
                [_run(session, part, events) for session, part in zip(self.sessions, parts, strict=True)], axis=1
            )
        return states

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Take in new and redescribed items through their content."""
        more = len(dataset.items) - self.items
        self.items = len(dataset.items)
        self.ids = np.pad(self.ids, ((0, more), (0, 0)))
        self.bias = np.pad(self.bias, (0, more), constant_values=np.nan)
        self._ready()

    def save(self, folder: Path) -> None:
        """Write arrays and networks."""
        super().save(folder)
        for number, graph in enumerate(self.graphs):
            (folder / f"network-{number}.onnx").write_bytes(graph)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote."""
        super().restore(folder, dataset)
        self.graphs = [(folder / f"network-{number}.onnx").read_bytes() for number in range(self.config.members)]
        self._ready()


def _run(session: ort.InferenceSession, vectors: Floats, events: Block) -> Floats:
    given = {"vectors": vectors, "lengths": events.lengths, "gaps": events.gaps, "values": events.values}
    wanted = {name.name: np.ascontiguousarray(given[name.name]) for name in session.get_inputs()}
    states: Floats = session.run(["states"], wanted)[0]
    return states
