"""Vectors of items from what is liked near each other: a start from which a network learns faster."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from twofold.core.history import Histories
from twofold.core.scores import Floats

__all__ = ["spectral_vectors", "told_by"]

WINDOW = 10
DECAY = 0.8
RIDGE = 1.0


def spectral_vectors(log: Histories, items: int, width: int, seed: int) -> Floats:
    """Return vectors of length 1, float32 [items, width]; zeros for an item that has no company.

    They are `U sqrt(S)` of the truncated singular value decomposition of the positive pointwise mutual information
    of items at most 10 events apart, nearer ones counting more. Columns beyond the rank stay 0. Source: Levy &
    Goldberg, NeurIPS 2014.
    """
    counts = sp.csr_matrix((items, items), dtype=np.float64)
    rows = log.rows
    for distance in range(1, WINDOW + 1):
        same = rows[:-distance] == rows[distance:]
        pairs = log.items[:-distance][same], log.items[distance:][same]
        counts = counts + sp.csr_matrix((np.full(len(pairs[0]), DECAY ** (distance - 1)), pairs), shape=counts.shape)
    counts = (counts + counts.T).tocoo()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    information = np.log(counts.data * totals.sum() / (totals[counts.row] * totals[counts.col]))
    kept = information > 0
    matrix = sp.csr_matrix((information[kept], (counts.row[kept], counts.col[kept])), shape=(items, items))
    vectors = np.zeros((items, width), np.float32)
    rank = min(width, items - 1)
    if matrix.nnz and rank > 0:
        left, strengths, _ = svds(matrix, k=rank, rng=np.random.default_rng(seed))
        vectors[:, :rank] = left * np.sqrt(strengths)
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return unit


def told_by(content: Floats, vectors: Floats) -> Floats:
    """Return the linear map W, float32 [c, d], by which the vectors [n, d] are best told from content [n, c].

    It is ridge regression, `W = (C'C + I)^-1 C'V`.
    """
    gram = content.T @ content + RIDGE * np.eye(content.shape[1], dtype=np.float32)
    return np.linalg.solve(gram, content.T @ vectors).astype(np.float32)
