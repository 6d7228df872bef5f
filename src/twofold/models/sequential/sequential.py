"""`Sequential`: what comes next, told by a transformer from the order, the times and the values of what was before."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from twofold.core.dataset import Dataset
from twofold.core.errors import ArtifactError, needed_for
from twofold.core.history import Histories
from twofold.core.rungs import Network
from twofold.core.scores import Floats
from twofold.core.session import open_session
from twofold.models.sequential.config import SequentialConfig
from twofold.models.sequential.events import Block, blocks
from twofold.models.sequential.positions import visible
from twofold.models.vectors import VectorRecommender

__all__ = ["Sequential"]

AT_ONCE = 64
"""Histories of like length that go through the network together."""


class Sequential(VectorRecommender):
    """A transformer over histories: its state at a history's end scores all items.

    Dislikes are read, never predicted; see `VectorRecommender` for items that are new. Trained with torch, it scores
    with ONNX Runtime and numpy alone. Sources: Kang & McAuley, ICDM 2018 (SASRec); Sun et al., CIKM 2019 (BERT4Rec);
    Klenitskiy & Vasilev, RecSys 2023 (full cross-entropy).
    """

    Config = SequentialConfig
    config: SequentialConfig
    state: ClassVar[tuple[str, ...]] = (*VectorRecommender.state, "hidden")

    hidden: Floats
    """The vector of a hidden item, float32 [d]; d is `members * width`."""
    output = "states"
    graphs: list[bytes]
    """The networks, as ONNX files."""
    runner: Network
    """Runs the first of them, or one of another size in its place."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Train on the log.

        Raises:
            DataError: nobody has two events.
            MissingExtraError: torch is not installed.
        """
        with needed_for("fitting a sequential model", "train"):
            from twofold.models.sequential.fitting import fit_networks  # noqa: PLC0415  torch is for training only
        touched, log, content = self._compact(dataset)
        seed = int(np.random.default_rng(rng).integers(2**31))
        members = fit_networks(
            self.config, log, content, seed=seed, about=dataset.fingerprint(), progress=self.progress
        )
        projections = [member.projection for member in members if member.projection is not None]
        self.hidden = np.concatenate([member.hidden for member in members])
        self.graphs = [member.graph for member in members]
        self.reports = [member.report for member in members]
        self._adopt(
            touched,
            np.concatenate([member.ids for member in members], axis=1),
            np.mean([member.bias for member in members], axis=0),
            np.concatenate(projections, axis=1) if projections else None,
        )
        self._open()
        return self

    def _open(self) -> None:
        """Make the networks ready to run."""
        self.sessions = [
            open_session(graph, "a sequential model", threads=self.config.threads) for graph in self.graphs
        ]
        self.runner = partial(_run, self.sessions[0])

    def states(self, histories: Histories) -> Floats:
        """Return the networks' states at the end of histories, float32 [b, d], those of all members side by side.

        They are divided by the number of members, so that scores are means over members.
        """
        states = np.empty((len(histories), self.table.shape[1]), np.float32)
        for rows, feeds in self.feeds(histories):
            runners: list[Network] = [self.runner, *(partial(_run, session) for session in self.sessions[1:])]
            found = [run(feed) for run, feed in zip(runners, feeds, strict=True)]
            states[rows] = np.concatenate(found, axis=1)
        states /= len(self.sessions)
        return states

    def feeds(
        self, histories: Histories, size: int = AT_ONCE
    ) -> Iterator[tuple[npt.NDArray[np.int64], list[dict[str, npt.NDArray[Any]]]]]:
        """Give what the networks read of histories: rows, and for each network the arrays of these rows by name.

        Args:
            histories: each with an event, all of known items.
            size: rows that go through together; those of like length do.
        """
        hidden = self.items if self.config.objective == "masked" else None
        for rows, events in blocks(histories.last(visible(self.config)), size, hidden=hidden):
            vectors = self.table[np.minimum(events.items, self.items - 1)]
            vectors[events.items == self.items] = self.hidden
            parts = np.split(vectors, len(self.sessions), axis=2)
            yield rows, [_feed(session, part, events) for session, part in zip(self.sessions, parts, strict=True)]

    def open_rung(self, folder: Path, network: Network, dataset: Dataset) -> Network:
        """See `Scaled.open_rung`."""
        again = "make the ladder from this artifact with `twofold compress`"
        if len(self.sessions) > 1:
            raise ArtifactError(f"the rung {folder} is one network, and the stage has {len(self.sessions)}; {again}.")
        some = dataset.log.take(np.flatnonzero(dataset.log.lengths)[:1])
        for _, feeds in self.feeds(some):
            if (width := network(feeds[0]).shape[1]) != self.config.width:
                raise ArtifactError(
                    f"the rung {folder} gives states of {width} numbers, not {self.config.width}; {again}."
                )
        return network

    def save(self, folder: Path) -> None:
        """Write arrays and networks."""
        super().save(folder)
        for number, graph in enumerate(self.graphs):
            (folder / f"network-{number}.onnx").write_bytes(graph)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote."""
        super().restore(folder, dataset)
        self.graphs = [(folder / f"network-{number}.onnx").read_bytes() for number in range(self.config.members)]
        self._open()


def _run(session: ort.InferenceSession, feed: Mapping[str, npt.NDArray[Any]]) -> Floats:
    return np.asarray(session.run(["states"], dict(feed))[0])


def _feed(session: ort.InferenceSession, vectors: Floats, events: Block) -> dict[str, npt.NDArray[Any]]:
    given = {"vectors": vectors, "lengths": events.lengths, "gaps": events.gaps, "values": events.values}
    return {name.name: np.ascontiguousarray(given[name.name]) for name in session.get_inputs()}
