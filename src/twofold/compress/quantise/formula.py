"""Real numbers as whole ones: `levels`, and `quantise` and `dequantise` with a scale for a tensor, channel or group."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twofold.core.errors import ConfigError
from twofold.core.scores import Floats

__all__ = ["Granularity", "Quantised", "Scheme", "dequantise", "levels", "quantise", "relative_error"]

Granularity = Literal["tensor", "channel", "group"]


def levels(x: npt.ArrayLike, q: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return how many steps of size `q` a number is: `round(x / q)`, a half to the even neighbour.

    Args:
        x: numbers of any shape.
        q: the step, more than 0; one, or an array that goes with `x`.

    Raises:
        ConfigError: a step is not above 0, or a number is not finite.

    >>> int(levels(3.14, 0.1))
    31
    >>> levels([-0.26, 0.0, 0.26], 0.1).tolist()
    [-3, 0, 3]
    """
    steps = np.asarray(q, np.float64)
    numbers = np.asarray(x, np.float64)
    if not (steps > 0).all():
        raise ConfigError("the step of a quantisation must be more than 0; give another.")
    if not np.isfinite(numbers).all():
        raise ConfigError("a number to be quantised is not finite; the weights are damaged, get others.")
    return np.rint(numbers / steps).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How real numbers become whole ones.

    Symmetric: `q = max |w| / (2^(bits-1) - 1)`, levels from -(2^(bits-1) - 1) to it, and 0 stays 0.
    Affine: `q = (max w - min w) / (2^bits - 1)`, levels from 0 up, and `zero = round(-min w / q)` stands for 0; the
    range is widened to hold 0.
    """

    bits: int = 8
    """From 2 to 16."""
    symmetric: bool = True
    """Whether the range is the same on both sides of 0."""
    granularity: Granularity = "tensor"
    """What shares a scale: all ("global"), a column of the matrix, or some rows of a column ("local")."""
    group: int = 64
    """How many rows of a column share a scale, where the granularity is "group"."""

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ConfigError(f"bits = {self.bits} is not from 2 to 16; change it.")
        if self.group < 1:
            raise ConfigError(f"group = {self.group} is less than 1; raise it.")

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest level."""
        top = 2 ** (self.bits - 1) - 1
        return (-top, top) if self.symmetric else (0, 2**self.bits - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """Levels, and what turns them back: `w ≈ scale * (levels - zero)`."""

    levels: npt.NDArray[np.int32]
    """In groups: [g, group, n], of which the last may be filled up with zeros; else in the tensor's shape."""
    scale: Floats
    """Goes with `levels`: [1, n] by channel, [g, 1, n] by group, else a single number."""
    zero: npt.NDArray[np.int32]
    """The level of 0, in the shape of `scale`."""
    shape: tuple[int, ...]
    """Of the tensor."""
    scheme: Scheme

    @property
    def bytes(self) -> int:
        """What it takes when packed: the levels' bits, and four bytes a scale, one or two a zero that is not 0."""
        packed = (int(np.prod(self.shape)) * self.scheme.bits + 7) // 8
        zeros = 0 if self.scheme.symmetric else self.zero.size * (1 if self.scheme.bits <= 8 else 2)
        return packed + 4 * self.scale.size + zeros


def quantise(weights: npt.NDArray[Any], scheme: Scheme) -> Quantised:
    """Quantise a tensor; a matrix [rows, n] where channels or groups share scales.

    Raises:
        ConfigError: a number is not finite, or the tensor is no matrix where one is needed.

    >>> made = quantise(np.array([[0.7, -1.0], [0.3, 1.0]], np.float32), Scheme(bits=4, granularity="channel"))
    >>> made.levels.tolist()
    [[7, -7], [3, 7]]
    """
    numbers = np.asarray(weights, np.float64)
    if not np.isfinite(numbers).all():
        raise ConfigError("a weight to be quantised is not finite; the weights are damaged, get others.")
    if scheme.granularity != "tensor" and numbers.ndim != 2:
        raise ConfigError(f"a tensor of {numbers.ndim} axes has no {scheme.granularity}s; use granularity = 'tensor'.")
    axes: int | None = None
    if scheme.granularity == "channel":
        axes = 0
    elif scheme.granularity == "group":
        rows, columns = numbers.shape
        padded = np.pad(numbers, ((0, -rows % scheme.group), (0, 0)))
        numbers, axes = padded.reshape(-1, scheme.group, columns), 1
    low, high = scheme.limits
    if scheme.symmetric:
        scale = np.abs(numbers).max(axes, keepdims=axes is not None, initial=0) / high
        zero = np.zeros_like(scale)
    else:
        least = np.minimum(numbers.min(axes, keepdims=axes is not None, initial=0), 0)
        scale = (np.maximum(numbers.max(axes, keepdims=axes is not None, initial=0), 0) - least) / high
        zero = np.rint(-least / np.where(scale > 0, scale, 1))
    step = np.asarray(np.where(scale > 0, scale, 1), np.float32)  # where all is 0, any step will do
    found = np.clip(levels(numbers, step.astype(np.float64)) + zero, low, high)
    return Quantised(
        levels=found.astype(np.int32),
        scale=step,
        zero=np.asarray(zero, np.int32),
        shape=np.shape(weights),
        scheme=scheme,
    )


def dequantise(quantised: Quantised) -> Floats:
    """Return the tensor that `quantise` was given, float32, each number within half a step of what it was."""
    numbers = quantised.scale * (quantised.levels - quantised.zero).astype(np.float32)
    if quantised.scheme.granularity == "group":
        rows, columns = quantised.shape
        numbers = numbers.reshape(-1, columns)[:rows]
    return numbers.astype(np.float32).reshape(quantised.shape)


def relative_error(weights: npt.NDArray[Any], scheme: Scheme) -> float:
    """Return the length of what quantising changes, as a part of the tensor's own; 0 for a tensor of zeros."""
    length = float(np.linalg.norm(np.asarray(weights, np.float64)))
    change = float(np.linalg.norm(weights - dequantise(quantise(weights, scheme))))
    return change / length if length > 0 else 0.0
