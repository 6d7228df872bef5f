"""Vectors of items by who liked them."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from twofold.core.history import Histories
from twofold.core.scores import Floats
from twofold.encoders.session import unit

__all__ = ["behaviour_vectors"]


def behaviour_vectors(log: Histories, items: int, dimensions: int, rng: np.random.Generator) -> Floats:
    """Return vectors of length 1 whose dot products come near the cosines of items by their users, float32 [items, d].

    They are the truncated singular vectors of the table of likes, its columns scaled to length 1. An item that nobody
    liked gets zeros.

    Args:
        log: what each user did.
        items: how many items there are.
        dimensions: the length of the vectors; there are fewer where the log does not hold as many.
        rng: of the starting vector.
    """
    likes = log.likes()
    table = csr_array((np.ones(len(likes.items), np.float64), (likes.rows, likes.items)), shape=(len(log), items))
    table.sum_duplicates()
    table.data[:] = 1.0
    sums = np.asarray(table.sum(axis=0)).ravel()
    scales = np.divide(1.0, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0)
    table.data *= scales[table.indices]
    size = min(dimensions, *(length - 1 for length in table.shape))
    if size < 1 or not table.nnz:
        return np.zeros((items, 1), np.float32)
    _, spreads, axes = svds(table, k=size, v0=_start(rng, table.shape))
    return unit(np.ascontiguousarray((axes * spreads[:, None]).T, np.float32)) * (sums > 0)[:, None]


def _start(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return rng.normal(size=min(shape))
