"""`SequentialSubject`: the network of a sequential model, judged by what users did last.

A case is a user's newest event, if it is a like, and the history before it; quality is nDCG@10 of it among all items
that the user had not touched. The artifact's model has learned from these events, so it is better at them than it
would be at new ones; what a variant keeps of that is what counts.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twofold.compress.runtime import Feed, write_graph
from twofold.core.errors import ConfigError, DataError
from twofold.core.history import Histories
from twofold.flows.compress.subject import Body, Making, Network, Part, Subject, Use
from twofold.models.sequential import Sequential

__all__ = ["SequentialSubject"]

CASES, FEWEST = 300, 40
"""How many cases each part has at most, and how many both need."""
DEPTH, MANY, CALIBRATION = 10, 32, 128


class SequentialSubject(Subject):
    """A fitted sequential model; see the module.

    Args:
        stage: with one network.
        log: histories in the codes of the stage's items.
        name: by which it is shown.
        seed: draws the cases.

    Raises:
        ConfigError: it has several networks, whose states belong together.
        DataError: there are too few users with two likes.
    """

    kind, output = "sequential model", "states"
    metric = "nDCG@10 of each user's newest like"

    def __init__(self, stage: Sequential, log: Histories, *, name: str, seed: int = 0) -> None:
        if len(stage.graphs) > 1:
            raise ConfigError(
                f"{name} has {len(stage.graphs)} networks, and one is compressed at a time; fit it with members = 1."
            )
        self.stage, self.name, self.width = stage, name, stage.config.width
        known = log.where(~np.isnan(stage.bias)[log.items])
        newest = known.ages == 0
        before = known.where(~newest)
        last = np.flatnonzero(known.lengths)
        likes = np.zeros(len(known), bool)
        likes[last] = known.values[newest] > 0
        targets = np.full(len(known), -1, np.int64)
        targets[last] = known.items[newest]
        cases = np.flatnonzero(likes & (before.likes().lengths > 0))
        if len(cases) < FEWEST:
            raise DataError(
                f"compressing {name} needs {FEWEST} users with two likes at least, and there are {len(cases)}; "
                "fit it on more data."
            )
        cases = np.random.default_rng(seed).permutation(cases)[: 2 * CASES]
        sides: tuple[tuple[Part, int], ...] = (("choose", 0), ("report", 1))
        self.parts = {part: (before.take(cases[half::2]), targets[cases[half::2]]) for part, half in sides}
        self.about = {
            "quality": self.metric,
            "cases": "from the log that the model was fitted on, of which no case is new to it",
            **{f"cases to {part}": len(found) for part, (found, _) in self.parts.items()},
            "seed": seed,
        }

    def fingerprint(self) -> str:
        """See `Subject`."""
        found = hashlib.sha256(json.dumps([self.kind, self.name]).encode())
        found.update(self.stage.graphs[0])
        for histories, targets in self.parts.values():
            for array in (histories.indptr, histories.items, targets):
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def export(self, making: Making) -> Sequence[str]:
        """See `Subject`."""
        write_graph(making.folder, self.stage.graphs[0])
        return ()

    def bodies(self) -> list[Body]:
        """Return none: a model with fewer layers or narrower ones is fitted anew in less time than it is healed."""
        return []

    def teacher(self, threads: int) -> Network | None:
        """See `Subject`; an artifact holds the graph only."""
        return None

    def feeds(self, use: Use, folder: Path) -> list[Feed]:
        """See `Subject`."""
        histories = self.parts["choose"][0]
        rows = {"one": 1, "many": MANY, "calibrate": CALIBRATION, "check": 33}[use]
        chosen = histories.take(np.resize(np.arange(len(histories)), rows))
        size = 16 if use == "calibrate" else rows
        return [feeds[0] for _, feeds in self.stage.feeds(chosen, size)]

    def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
        """See `Subject`."""
        histories, targets = self.parts[part]
        found = np.zeros(len(histories))
        for rows, feeds in self.stage.feeds(histories):
            scores = np.nan_to_num(self.stage.score_states(network(feeds[0])), nan=-np.inf)
            asked = histories.take(rows)
            own = scores[np.arange(len(rows)), targets[rows]].copy()
            scores[asked.rows, asked.items] = -np.inf
            scores[np.arange(len(rows)), targets[rows]] = -np.inf
            ranks = 1 + (scores >= own[:, None]).sum(axis=1)  # an equal score counts against the model
            found[rows] = np.where(ranks <= DEPTH, 1 / np.log2(1 + ranks), 0)
        return found
