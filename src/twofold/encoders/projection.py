"""`Projection`: from the vectors of one modality into the space that all share, by numpy alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors.numpy import load_file, save_file

from twofold.core.scores import Floats
from twofold.encoders.session import unit

__all__ = ["Projection", "load_projections", "mean_of", "save_projections"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """One linear layer, or two with a rectifier between them; what comes out has length 1.

    `unit(max(x W + b, 0) V + c)`, or `unit(x W + b)`. Vectors of zeros, which say that there is nothing, stay zeros.
    """

    layers: tuple[tuple[Floats, Floats], ...]
    """Weights [in, out] and biases [out], the first layer first."""

    def __call__(self, vectors: Floats) -> Floats:
        """Return the projected vectors, float32 [b, d]."""
        found = vectors
        for depth, (weights, biases) in enumerate(self.layers):
            found = (np.maximum(found, 0) if depth else found) @ weights + biases
        return unit(np.where(vectors.any(axis=1, keepdims=True), found, np.float32(0)))

    @classmethod
    def of(cls, arrays: Sequence[Floats]) -> Self:
        """Make one of weights and biases in turns."""
        return cls(layers=tuple(zip(arrays[::2], arrays[1::2], strict=True)))


def mean_of(parts: Sequence[Floats]) -> Floats:
    """Return the mean direction of vectors [b, d] of length 1 or 0; where all are 0, it is 0."""
    return unit(np.sum(parts, axis=0, dtype=np.float32))


def save_projections(projections: Mapping[str, Projection], path: Path) -> None:
    """Write projections by name as one safetensors file."""
    save_file(
        {
            f"{name}.{depth}.{part}": np.ascontiguousarray(array)
            for name, projection in projections.items()
            for depth, layer in enumerate(projection.layers)
            for part, array in zip(("weight", "bias"), layer, strict=True)
        },
        path,
    )


def load_projections(path: Path) -> dict[str, Projection]:
    """Read what `save_projections` wrote."""
    arrays = load_file(path)
    depths = dict.fromkeys(sorted(key.split(".")[0] for key in arrays), 0)
    for key in arrays:
        name, depth, _ = key.split(".")
        depths[name] = max(depths[name], int(depth) + 1)
    return {
        name: Projection(
            layers=tuple((arrays[f"{name}.{depth}.weight"], arrays[f"{name}.{depth}.bias"]) for depth in range(count))
        )
        for name, count in depths.items()
    }
