"""Exact scan: the nearest of many vectors, by looking at every one.

Legend: b queries, n vectors, m of them in a block, d dimensions, k wanted.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, Self

import numkong
import numpy as np
import numpy.typing as npt

from twofold.core.ids import Codes
from twofold.core.scores import Floats, Mask, along, rank_rows

__all__ = ["BitCodes", "ByteCodes", "FloatCodes", "Precision", "Scan", "VectorCodes", "dots", "encode_vectors"]

Precision = Literal["float32", "int8", "binary"]

BLOCK = 16_384
"""Vectors that are looked at together, so that what is computed of them stays in the processor's cache."""
GATHER = 16
"""Where at most one of so many vectors is allowed, the allowed ones are taken out first."""
SLACK = 32
"""So many candidates beyond those wanted are computed anew, since rounding can change places at the limit."""


class VectorCodes(ABC):
    """Vectors in a form that is fast to look through."""

    slack: float
    """How many candidates, for each wanted one, are computed anew from the vectors themselves."""
    arrays: dict[str, npt.NDArray[np.generic]]
    """What they consist of, beside the vectors."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def prepare(self, queries: Floats) -> object:
        """Return queries [b, d] in the form that `likeness` wants."""

    @abstractmethod
    def likeness(self, prepared: object, rows: slice) -> Floats:
        """Return how like a block of vectors is to queries, float32 [b, m]; only its order counts."""

    @abstractmethod
    def put(self, vectors: Floats, changed: Codes) -> Self:
        """Return the codes of vectors [n, d] of which only some, or those at the end, are not as they were."""


class FloatCodes(VectorCodes):
    """The vectors as they are: one matrix product, threaded by BLAS."""

    slack = 1.0

    def __init__(self, vectors: Floats) -> None:
        self.vectors = vectors
        self.arrays = {}

    def __len__(self) -> int:
        return len(self.vectors)

    def prepare(self, queries: Floats) -> Floats:
        """See `VectorCodes.prepare`."""
        return queries

    def likeness(self, prepared: object, rows: slice) -> Floats:
        """See `VectorCodes.likeness`."""
        assert isinstance(prepared, np.ndarray)
        product: Floats = prepared @ self.vectors[rows].T
        return product

    def put(self, vectors: Floats, changed: Codes) -> "FloatCodes":
        """See `VectorCodes.put`."""
        return FloatCodes(vectors)


class ByteCodes(VectorCodes):
    """Eight bits a dimension: `x ≈ scale * code`, `scale = max |x| / 127`, one scale a vector.

    The products of bytes are summed as whole numbers, by `numkong`, which takes the best instructions that the
    processor has.
    """

    slack = 1.25

    def __init__(self, codes: npt.NDArray[np.int8], scales: Floats) -> None:
        self.codes, self.scales = codes, scales
        self.arrays = {"codes": codes, "scales": scales}

    @classmethod
    def of(cls, vectors: Floats) -> "ByteCodes":
        """Round vectors [n, d], a block at a time."""
        codes, scales = np.empty(vectors.shape, np.int8), np.empty(len(vectors), np.float32)
        for rows in _blocks(len(vectors)):
            codes[rows], scales[rows] = _bytes(vectors[rows])
        return cls(codes, scales)

    def __len__(self) -> int:
        return len(self.codes)

    def prepare(self, queries: Floats) -> numkong.PackedMatrix:
        """See `VectorCodes.prepare`."""
        return numkong.dots_pack(_bytes(queries)[0], "int8")

    def likeness(self, prepared: object, rows: slice) -> Floats:
        """See `VectorCodes.likeness`."""
        assert isinstance(prepared, numkong.PackedMatrix)
        products = np.asarray(numkong.dots_packed(self.codes[rows], prepared))  # int32 [m, b]
        likeness: Floats = np.multiply(products.T, self.scales[rows], dtype=np.float32)
        return likeness

    def put(self, vectors: Floats, changed: Codes) -> "ByteCodes":
        """See `VectorCodes.put`."""
        codes, scales = np.zeros(vectors.shape, np.int8), np.zeros(len(vectors), np.float32)
        codes[: len(self)], scales[: len(self)] = self.codes, self.scales
        codes[changed], scales[changed] = _bytes(vectors[changed])
        return ByteCodes(codes, scales)


class BitCodes(VectorCodes):
    """One bit a dimension, its sign; likeness is how many are the same: `d - hamming(x, y)`.

    The bits lie in words of 64, a row a word, so that a block is counted by few instructions.
    """

    slack = 6.0

    def __init__(self, codes: npt.NDArray[np.uint64]) -> None:
        self.codes = codes
        self.arrays = {"codes": codes}

    @classmethod
    def of(cls, vectors: Floats) -> "BitCodes":
        """Take the signs of vectors [n, d], a block at a time."""
        parts = [_bits(vectors[rows]) for rows in _blocks(len(vectors))]
        return cls(np.ascontiguousarray(np.concatenate(parts or [_bits(vectors)], axis=1)))

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    def prepare(self, queries: Floats) -> npt.NDArray[np.uint64]:
        """See `VectorCodes.prepare`."""
        return _bits(queries)

    def likeness(self, prepared: object, rows: slice) -> Floats:
        """See `VectorCodes.likeness`."""
        assert isinstance(prepared, np.ndarray)
        block = self.codes[:, rows]
        likeness = np.empty((prepared.shape[1], block.shape[1]), np.float32)
        for row in range(len(likeness)):
            differing = np.zeros(block.shape[1], np.uint16)
            for word, wanted in zip(block, prepared[:, row], strict=True):
                differing += np.bitwise_count(word ^ wanted)
            np.negative(differing, out=likeness[row], dtype=np.float32)
        return likeness

    def put(self, vectors: Floats, changed: Codes) -> "BitCodes":
        """See `VectorCodes.put`."""
        codes = np.zeros((len(self.codes), len(vectors)), np.uint64)
        codes[:, : len(self)] = self.codes
        codes[:, changed] = _bits(vectors[changed])
        return BitCodes(codes)


def encode_vectors(vectors: Floats, precision: Precision) -> VectorCodes:
    """Return vectors [n, d] in the form that a precision stands for."""
    if precision == "float32":
        return FloatCodes(vectors)
    return ByteCodes.of(vectors) if precision == "int8" else BitCodes.of(vectors)


class Scan:
    """The exact index: every vector is looked at.

    A first look at the codes finds some more than k; these are computed anew from the vectors, one dot product
    at a time, so that a score depends neither on the other queries of a batch nor on the codes. With float32
    codes the k are the true ones; with others almost always.

    Args:
        vectors: float32 [n, d]; zero vectors are never found.
        codes: the same in the form that is looked through.
    """

    def __init__(self, vectors: Floats, codes: VectorCodes) -> None:
        self.vectors, self.codes = vectors, codes
        self.present = present(vectors)

    def search(self, queries: Floats, k: int, allowed: Mask | None = None) -> tuple[Codes, Floats]:
        """Return a ranking of the k nearest allowed vectors of each query, by falling dot product, then rising code.

        Args:
            queries: float32 [b, d].
            k: how many, at most.
            allowed: which vectors may be found, [b, n]; None where all may.

        Returns:
            Codes [b, k], -1 where there is no more, and their scores, -inf there.
        """
        if allowed is None:
            open_ = np.broadcast_to(self.present, (len(queries), len(self.present)))
        else:
            open_ = self.fitted(allowed) & self.present
        counts = np.count_nonzero(open_, axis=1)
        codes = np.full((len(queries), min(k, int(counts.max(initial=0)))), -1, np.int32)
        scores = np.full(codes.shape, -np.inf, np.float32)

        def place(rows: npt.NDArray[np.int64], found: Codes) -> None:
            values = dots(self.vectors, found, queries[rows])
            best = rank_rows(found, np.where(found < 0, np.float32(-np.inf), values))
            width = min(codes.shape[1], found.shape[1])
            codes[rows, :width], scores[rows, :width] = best[0][:, :width], best[1][:, :width]

        few = counts <= max(len(self.present) // GATHER, k)
        for row in np.flatnonzero(few & (counts > 0)):
            place(np.array([row]), np.flatnonzero(open_[row]).astype(np.int32)[None])
        many = np.flatnonzero(~few)
        if len(many):
            place(many, self._look(queries[many], k, open_[many]))
        return codes, scores

    def fitted(self, allowed: Mask) -> Mask:
        """Return a mask [b, n] of one that was made before the last items were added; these are not allowed."""
        missing = len(self.present) - allowed.shape[1]
        return np.pad(allowed, ((0, 0), (0, missing))) if missing else allowed

    def _look(self, queries: Floats, k: int, open_: Mask) -> Codes:
        """Return the codes of some more than k candidates of each query [b, c], in any order, -1 where none is left."""
        wanted = int(self.codes.slack * k) + SLACK
        prepared = self.codes.prepare(queries)
        found, likeness = [], []
        for rows in _blocks(len(self.codes)):
            seen = self.codes.likeness(prepared, rows)
            np.copyto(seen, np.float32(-np.inf), where=~open_[:, rows])
            best = _largest(seen, wanted)
            found.append(best + rows.start)
            likeness.append(along(seen, best))
        codes, seen = np.concatenate(found, axis=1), np.concatenate(likeness, axis=1)
        if len(found) > 1:
            best = _largest(seen, wanted)
            codes, seen = along(codes, best), along(seen, best)
        codes[seen == -np.inf] = -1
        return codes.astype(np.int32)


def present(vectors: Floats) -> npt.NDArray[np.bool_]:
    """Return which vectors [n, d] say anything: those that are not zero."""
    return np.concatenate([np.zeros(0, bool), *(vectors[rows].any(axis=1) for rows in _blocks(len(vectors)))])


def dots(vectors: Floats, items: Codes, queries: Floats) -> Floats:
    """Return the dot products of queries [b, d] with the vectors of items [b, c]; NaN where a code is -1.

    Each is summed on its own, so that it is the same in every batch and at every place.
    """
    products = np.empty(items.shape, np.float32)
    vectors = np.asarray(vectors)  # rows of a memory map are slow to take
    for row, query in enumerate(queries):
        products[row] = np.einsum("cd,d->c", vectors[np.maximum(items[row], 0)], query)
    products[items < 0] = np.nan
    return products


def _largest(values: Floats, count: int) -> npt.NDArray[np.int64]:
    """Return the columns of the `count` largest values of each row, in any order."""
    if count >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, -count, axis=1)[:, -count:]


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))


def _bytes(vectors: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    largest = np.abs(vectors).max(axis=1, initial=0)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def _bits(vectors: Floats) -> npt.NDArray[np.uint64]:
    """Return the signs of vectors [n, d] as words [ceil(d / 64), n]."""
    bits = np.packbits(vectors > 0, axis=1)
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
    return padded.view(np.uint64).T
