"""Sparse item-item matrices, built a block of rows at a time so that memory stays bounded."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

__all__ = ["keep_largest"]

BLOCK = 1_024


def keep_largest(block: Callable[[slice], sp.csr_matrix], items: int, count: int) -> sp.csr_matrix:
    """Build a float32 matrix [items, items] that keeps the `count` largest entries of each row, none on the diagonal.

    Args:
        block: computes the given rows, as a sparse matrix [rows, items].
        items: how many items there are.
        count: how many entries of a row are kept; of equal ones those with the lower column.
    """
    parts = [sp.csr_matrix((0, items), dtype=np.float32)]
    for start in range(0, items, BLOCK):
        rows = slice(start, min(start + BLOCK, items))
        part = block(rows).tocoo()
        keep = (part.row + start != part.col) & (part.data > 0)
        row, column, value = part.row[keep], part.col[keep], part.data[keep]
        order = np.lexsort((column, -value, row))
        row, column, value = row[order], column[order], value[order]
        first = np.searchsorted(row, np.arange(rows.stop - rows.start))
        inside = np.arange(len(row)) - first[row] < count
        shape = (rows.stop - rows.start, items)
        parts.append(sp.csr_matrix((value[inside].astype(np.float32), (row[inside], column[inside])), shape=shape))
    matrix = sp.vstack(parts, format="csr", dtype=np.float32)
    matrix.sort_indices()
    return matrix
