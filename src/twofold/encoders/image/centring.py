"""`Centring`: takes out of vectors what all of them have in common, and keeps the directions in which they differ."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from twofold.core.scores import Floats
from twofold.encoders.session import unit

__all__ = ["FEWEST", "Centring"]

FEWEST = 32
"""Of fewer different vectors, no mean is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Centring:
    """`(x - mean) axes`, scaled to length 1; vectors of zeros stay zeros.

    The axes are the principal ones, the widest first. They are not scaled by their spread ("whitening"): on some
    hundred photographs the narrow ones hold mostly noise, and whitening made neighbours worse.
    """

    mean: Floats
    """[d]."""
    axes: Floats | None
    """[d, e]; None where all directions are kept."""

    @classmethod
    def fit(cls, vectors: Floats, dimensions: int) -> Self | None:
        """Learn from vectors [n, d], without those of zeros; None where fewer than 32 differ.

        Args:
            vectors: of length 1 or 0.
            dimensions: how many directions are kept; all, where there are not at least as many different vectors.
        """
        kept = np.unique(vectors[vectors.any(axis=1)], axis=0).astype(np.float64)
        if len(kept) < FEWEST:
            return None
        mean = kept.mean(axis=0)
        axes = None
        if dimensions < min(kept.shape):
            _, directions = np.linalg.eigh((kept - mean).T @ (kept - mean))
            axes = np.ascontiguousarray(directions[:, : -dimensions - 1 : -1], np.float32)
        return cls(mean=mean.astype(np.float32), axes=axes)

    def __call__(self, vectors: Floats) -> Floats:
        """Return centred vectors [b, e] of length 1, or 0 where they were 0."""
        centred: Floats = (vectors - self.mean) * vectors.any(axis=1, keepdims=True).astype(np.float32)
        return unit(centred if self.axes is None else centred @ self.axes)

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        np.save(folder / "mean.npy", self.mean, allow_pickle=False)
        if self.axes is not None:
            np.save(folder / "axes.npy", self.axes, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what `save` wrote; None where nothing was."""
        mean, axes = (
            np.load(folder / name, allow_pickle=False) if (folder / name).is_file() else None
            for name in ("mean.npy", "axes.npy")
        )
        return None if mean is None else cls(mean=mean, axes=axes)
