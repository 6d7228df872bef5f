"""`SmallRanker`: what an ensemble of rankers is distilled into. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from twofold.compress.distil.examples import Index
from twofold.core.scores import Floats

__all__ = ["SmallRanker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallRanker:
    """A network of a few neurons over features; scored with numpy alone.

    `score = W_k relu(… relu(W_1 x + b_1) …) + b_k` with x the standardised features, a missing one (NaN) being the
    mean, and for each feature that may be missing, whether it is.
    """

    mean: Floats
    """Of the features, [f]."""
    deviation: Floats
    """Of the features, [f]."""
    missing: Index
    """Which features may be missing."""
    matrices: tuple[Floats, ...]
    """Each [inputs, outputs]."""
    biases: tuple[Floats, ...]

    def prepare(self, features: Floats) -> Floats:
        """Return what the first matrix takes, from features [n, f]."""
        gone = np.isnan(features)
        scaled = np.where(gone, 0, (features - self.mean) / self.deviation)
        return np.concatenate((scaled, gone[:, self.missing]), axis=1).astype(np.float32)

    def __call__(self, features: Floats) -> Floats:
        """Return the scores, float32 [n], of features [n, f]."""
        values, last = self.prepare(features), len(self.matrices) - 1
        for place, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            values = values @ matrix + bias
            if place < last:
                values = np.maximum(values, 0)
        return values[:, 0]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that it is, as arrays to be kept."""
        parts = {f"matrix.{place}": value for place, value in enumerate(self.matrices)}
        parts |= {f"bias.{place}": value for place, value in enumerate(self.biases)}
        return {"mean": self.mean, "deviation": self.deviation, "missing": self.missing, **parts}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return the ranker that `arrays` was called on."""
        depth = sum(name.startswith("matrix.") for name in arrays)
        return cls(
            mean=arrays["mean"],
            deviation=arrays["deviation"],
            missing=arrays["missing"],
            matrices=tuple(arrays[f"matrix.{place}"] for place in range(depth)),
            biases=tuple(arrays[f"bias.{place}"] for place in range(depth)),
        )
