"""Pruning by a threshold, as a formula on arrays. Free of torch."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from twofold.core.errors import ConfigError

__all__ = ["threshold"]

F = TypeVar("F", bound=np.floating[Any])


def threshold(weights: npt.NDArray[F], theta: float) -> npt.NDArray[F]:
    """Return weights with the small ones set to zero: `w = 0 if |w| <= theta else w`.

    Args:
        weights: of any shape.
        theta: 0 or more; a weight that equals it becomes zero too.

    Raises:
        ConfigError: theta is negative or no number, or a weight is no number.

    >>> threshold(np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]), 0.3)
    array([[0. , 0. , 0. ], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])
    """
    if not 0 <= theta < np.inf:
        raise ConfigError(f"a threshold cannot be {theta}; give a number of 0 or more.")
    if not np.isfinite(weights).all():
        raise ConfigError("the weights hold NaN or infinite values and cannot be pruned; get others.")
    zero = np.zeros((), weights.dtype)
    return np.where(np.abs(weights) <= theta, zero, weights)
