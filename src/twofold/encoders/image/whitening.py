"""`Whitening`: takes out of vectors what all of them have in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from twofold.core.scores import Floats
from twofold.encoders.session import unit

__all__ = ["Whitening"]

FLOOR = 1e-6
"""Directions whose spread is a smaller share of the widest one's hold nothing but rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitening:
    """Turns, shortens and rescales vectors so that each direction spreads like every other.

    `(x - mean) axes`, scaled to length 1, where the axes are the principal ones, each divided by the square root of
    its spread to the power `power`. Vectors of zeros stay zeros. Source: Jégou and Chum, "Negative evidences and
    co-occurrences in image retrieval: the benefit of PCA and whitening", ECCV 2012.
    """

    mean: Floats
    """[d]."""
    axes: Floats
    """[d, e]."""

    @classmethod
    def fit(cls, vectors: Floats, dimensions: int, power: float = 0.5) -> Self | None:
        """Learn from vectors [n, d], without those of zeros; None where fewer than 3 differ.

        Args:
            vectors: of length 1 or 0.
            dimensions: how many directions are kept, the widest first; there are fewer where the vectors spread less.
            power: 0 only turns, 0.5 makes every direction alike.
        """
        kept = np.unique(vectors[vectors.any(axis=1)], axis=0).astype(np.float64)
        if len(kept) < 3:
            return None
        mean = kept.mean(axis=0)
        _, spreads, axes = np.linalg.svd(kept - mean, full_matrices=False)
        wide = int((spreads > FLOOR * spreads[0]).sum())
        size = min(dimensions, wide)
        scaled = axes[:size].T / (spreads[:size] / np.sqrt(len(kept))) ** (2 * power)
        return cls(mean=mean.astype(np.float32), axes=scaled.astype(np.float32))

    def __call__(self, vectors: Floats) -> Floats:
        """Return whitened vectors [b, e] of length 1, or 0 where they were 0."""
        return unit(((vectors - self.mean) @ self.axes) * vectors.any(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        np.save(folder / "mean.npy", self.mean, allow_pickle=False)
        np.save(folder / "axes.npy", self.axes, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what `save` wrote; None where nothing was."""
        if not (folder / "mean.npy").is_file():
            return None
        mean, axes = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("mean", "axes"))
        return cls(mean=mean, axes=axes)
