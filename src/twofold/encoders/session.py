"""`Graph`: a network as ONNX, run by onnxruntime. `batches`, `unit`: what goes in, and what comes out."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from twofold.core.errors import ConfigError
from twofold.core.scores import Floats
from twofold.core.session import open_session

__all__ = ["Graph", "batches", "unit"]


class Graph:
    """A network with one output, float32.

    Args:
        content: the ONNX file's bytes.
        threads: that one call may use; 0 for as many as this process may use.

    Raises:
        ArtifactError: it is no graph that can be run.
    """

    def __init__(self, content: bytes, threads: int = 0) -> None:
        self.content = content
        self._session = open_session(content, "a network", threads=threads)

    @property
    def width(self) -> int:
        """How long the output's rows are."""
        return int(self._session.get_outputs()[0].shape[-1])

    def __call__(self, **inputs: npt.NDArray[Any]) -> Floats:
        """Return the output for a batch.

        Raises:
            ConfigError: it holds something that is no number.
        """
        found: Floats = self._session.run(None, inputs)[0]
        if not np.isfinite(found).all():
            raise ConfigError("a network gives vectors that are no numbers; its weights are damaged, so get them anew.")
        return found

    def save(self, path: Path) -> None:
        """Write the ONNX file."""
        path.write_bytes(self.content)

    @classmethod
    def load(cls, path: Path, threads: int = 0) -> Self:
        """Read what `save` wrote."""
        return cls(path.read_bytes(), threads)


def batches(
    rows: Iterable[tuple[int, npt.NDArray[np.float32]]], size: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Put numbered arrays of one shape together, `size` at a time; no more than these are held."""
    left = iter(rows)
    while part := list(islice(left, size)):
        yield np.array([row for row, _ in part], np.int64), np.stack([array for _, array in part])


def unit(vectors: Floats) -> Floats:
    """Return vectors [b, d] with length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-12)
    return scaled
