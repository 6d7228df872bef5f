"""Sparse item-item matrices, built a block of rows at a time so that memory stays bounded."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = ["keep_largest"]

CELLS = 1 << 24
"""A block has at most so many rows that it could be laid out densely with so many cells."""


def keep_largest(block: Callable[[slice], sp.csr_matrix], items: int, count: int) -> sp.csr_matrix:
    """Build a float32 matrix [items, items] that keeps the `count` largest entries of each row, none on the diagonal.

    Args:
        block: computes the given rows, as a sparse matrix [rows, items].
        items: how many items there are.
        count: how many entries of a row are kept, all above 0; of equal ones those with the lower column.
    """
    columns, values, lengths = [np.empty(0, np.int32)], [np.empty(0, np.float32)], [0]
    step = max(CELLS // max(items, 1), 1)
    for start in range(0, items, step):
        part = block(slice(start, min(start + step, items))).tocsr()
        part.sort_indices()
        for row in range(part.shape[0]):
            span = slice(part.indptr[row], part.indptr[row + 1])
            column, value = part.indices[span], part.data[span]
            kept = _largest(np.where(column == start + row, 0, value), count)
            columns.append(column[kept].astype(np.int32))
            values.append(value[kept].astype(np.float32))
            lengths.append(int(kept.sum()))
    parts = (np.concatenate(values), np.concatenate(columns), np.cumsum(lengths))
    return sp.csr_matrix(parts, shape=(items, items))


def _largest(values: npt.NDArray[np.floating], count: int) -> npt.NDArray[np.bool_]:
    """Say which of the values are the `count` largest above 0; of equal ones the first."""
    if np.count_nonzero(values > 0) <= count:
        return np.asarray(values > 0)
    limit = np.partition(values, -count)[-count]
    kept = values > limit
    kept[np.flatnonzero(values == limit)[: count - int(kept.sum())]] = True
    return np.asarray(kept)
