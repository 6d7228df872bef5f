"""`ImageSubject`: the network of an image encoder, judged by how well the teacher's likeness of pictures is kept.

A case is a picture among the others of its part; quality is nDCG@10 where the gain of a picture is its likeness by the
teacher, 0 at the median picture and 1 at the likest.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.compress.runtime import Feed, write_graph
from twofold.core.errors import DataError
from twofold.core.scores import Floats
from twofold.encoders.image import ImageEncoder
from twofold.encoders.session import unit
from twofold.flows.compress.judging import gains_of, order_kept
from twofold.flows.compress.subject import Body, Making, Network, Part, Subject, Use

__all__ = ["ImageSubject"]

PICTURES, FEWEST, MANY, CALIBRATION, TOGETHER = 400, 40, 32, 64, 16


class ImageSubject(Subject):
    """A fitted image encoder; see the module.

    Args:
        stage: the encoder; its `folder` still holds the items' files.
        items: rows of `Dataset.items`.
        name: by which it is shown.
        seed: draws the pictures.

    Raises:
        DataError: too few pictures can be read.
    """

    kind, output = "image encoder", "features"
    metric = "nDCG@10 of the teacher's likeness"

    def __init__(self, stage: ImageEncoder, items: pl.DataFrame, *, name: str, seed: int = 0) -> None:
        self.stage, self.name = stage, name
        column = stage.config.column
        named = items.filter(pl.col(column).is_not_null()) if column in items.columns else items.clear()
        some = named.sample(min(PICTURES, len(named)), seed=seed, shuffle=True)
        pictures = [picture for _, picture in stage.decoded(some)]
        if len(pictures) < FEWEST:
            raise DataError(
                f"compressing {name} needs {FEWEST} pictures at least, and {len(pictures)} of the catalogue's can be "
                f"read from {stage.config.folder!r}; check the folder."
            )
        self.parts: dict[Part, npt.NDArray[np.float32]] = {
            "choose": np.stack(pictures[::2]),
            "report": np.stack(pictures[1::2]),
        }
        self._gains: dict[Part, list[dict[int, float]]] = {}
        self.about = {
            "quality": self.metric,
            "judged by": "the teacher: the gain of a picture is its likeness to the one that is asked",
            **{f"cases to {part}": f"{len(found)} pictures" for part, found in self.parts.items()},
            "seed": seed,
        }

    def fingerprint(self) -> str:
        """See `Subject`."""
        found = hashlib.sha256(self.kind.encode() + self.stage.graph.content)
        for pictures in self.parts.values():
            found.update(pictures.tobytes())
        return found.hexdigest()

    def export(self, making: Making) -> Sequence[str]:
        """See `Subject`."""
        write_graph(making.folder, self.stage.graph.content)
        return ()

    def bodies(self) -> list[Body]:
        """Return none: the artifact holds no weights that could be trained further."""
        return []

    def teacher(self, threads: int) -> Network | None:
        """See `Subject`; an artifact holds the graph only."""
        return None

    def feeds(self, use: Use, folder: Path) -> list[Feed]:
        """See `Subject`."""
        rows = {"one": 1, "many": MANY, "calibrate": CALIBRATION, "check": 33}[use]
        chosen = np.resize(self.parts["choose"], (rows, *self.parts["choose"].shape[1:]))
        size = TOGETHER if use == "calibrate" else rows
        return [{"pixels": chosen[start : start + size]} for start in range(0, rows, size)]

    def prepare(self, network: Network, folder: Path) -> None:
        """See `Subject`."""
        for part in self.parts:
            self._gains[part] = list(map(gains_of, self._likeness(network, part)))

    def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
        """See `Subject`."""
        return order_kept(self._likeness(network, part), self._gains[part])

    def _likeness(self, network: Network, part: Part) -> Floats:
        """Return the likeness of each picture to each other, [p, p]; of one to itself it is the least, -1."""
        pictures = self.parts[part]
        starts = range(0, len(pictures), TOGETHER)
        seen = np.concatenate([network({"pixels": pictures[start : start + TOGETHER]}) for start in starts])
        vectors = self.stage.finish(unit(seen))
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -1)
        return likeness
