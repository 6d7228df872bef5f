"""Items' vectors in fewer bytes, and what that does to a search: `recall_of`.

Legend: b queries, n vectors, d dimensions, k wanted.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from twofold.core.errors import ConfigError
from twofold.core.scores import Floats

__all__ = ["Bits", "Bytes", "Codes", "Kind", "Leading", "Products", "encode_items", "nearest_rows", "recall_of"]

Kind = Literal["int8", "binary", "matryoshka", "product"]
CENTROIDS = 256
"""Of a part, so that a code is a byte."""
LEARNT = 20_000
"""Vectors that centroids are learnt from."""
ROUNDS = 10
"""Of k-means."""
BLOCK = 1_024
"""Queries that are looked at together."""


class Codes(Protocol):
    """Vectors in fewer bytes."""

    @property
    def bytes(self) -> int:
        """What they take in memory."""

    def scores(self, queries: Floats) -> Floats:
        """Return how like each vector is to each query, float32 [b, n]; only the order counts."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Eight bits a dimension and a scale a vector: `x ≈ scale * level`."""

    levels: npt.NDArray[np.int8]
    scales: Floats

    @classmethod
    def of(cls, vectors: Floats) -> "Bytes":
        """Round vectors [n, d]."""
        scales = np.maximum(np.abs(vectors).max(1), 1e-12) / 127
        return cls(np.rint(vectors / scales[:, None]).astype(np.int8), scales.astype(np.float32))

    @property
    def bytes(self) -> int:
        """See `Codes.bytes`."""
        return self.levels.nbytes + self.scales.nbytes

    def scores(self, queries: Floats) -> Floats:
        """See `Codes.scores`; the queries are rounded, too."""
        rounded = Bytes.of(queries)
        return (rounded.levels.astype(np.float32) @ self.levels.astype(np.float32).T) * self.scales


@dataclass(frozen=True, slots=True)
class Bits:
    """One bit a dimension: whether it is above the mean of all vectors."""

    packed: npt.NDArray[np.uint8]
    means: Floats

    @classmethod
    def of(cls, vectors: Floats) -> "Bits":
        """Keep the signs of vectors [n, d] around their mean."""
        means = vectors.mean(0)
        return cls(np.packbits(vectors > means, axis=1), means)

    @property
    def bytes(self) -> int:
        """See `Codes.bytes`."""
        return self.packed.nbytes + self.means.nbytes

    def scores(self, queries: Floats) -> Floats:
        """See `Codes.scores`: the query, of full precision, with the signs, which tells more than signs with signs."""
        signs = np.unpackbits(self.packed, axis=1, count=len(self.means)).astype(np.float32) * 2 - 1
        found: Floats = queries @ signs.T
        return found


@dataclass(frozen=True, slots=True)
class Leading:
    """The leading dimensions, made of length 1 again (Kusupati et al., "Matryoshka Representation Learning", 2022)."""

    kept: Floats

    @classmethod
    def of(cls, vectors: Floats, dimensions: int) -> "Leading":
        """Cut vectors [n, d]."""
        return cls(_unit(vectors[:, :dimensions]))

    @property
    def bytes(self) -> int:
        """See `Codes.bytes`."""
        return self.kept.nbytes

    def scores(self, queries: Floats) -> Floats:
        """See `Codes.scores`."""
        found: Floats = _unit(queries[:, : self.kept.shape[1]]) @ self.kept.T
        return found


@dataclass(frozen=True, slots=True)
class Products:
    """A byte for each part of a vector: the nearest of 256 centroids (Jégou et al., "Product Quantization", 2011)."""

    codes: npt.NDArray[np.uint8]
    """[n, parts]."""
    centroids: Floats
    """[parts, 256, d / parts]."""

    @classmethod
    def of(cls, vectors: Floats, parts: int, *, rng: np.random.Generator | int | None = None) -> "Products":
        """Learn centroids from vectors [n, d] by k-means, and give each part of a vector the nearest.

        Raises:
            ConfigError: the dimensions are no multiple of the parts.
        """
        count, width = vectors.shape
        if width % parts:
            raise ConfigError(f"{width} dimensions are no multiple of {parts} parts; use another number of parts.")
        generator = np.random.default_rng(rng)
        learnt = vectors[generator.permutation(count)[:LEARNT]].reshape(-1, parts, width // parts)
        pieces = vectors.reshape(count, parts, width // parts)
        centroids = np.stack([_means(learnt[:, part], generator) for part in range(parts)])
        codes = np.stack([_nearest(pieces[:, part], centroids[part]) for part in range(parts)], axis=1)
        return cls(codes.astype(np.uint8), centroids)

    @property
    def bytes(self) -> int:
        """See `Codes.bytes`."""
        return self.codes.nbytes + self.centroids.nbytes

    def scores(self, queries: Floats) -> Floats:
        """See `Codes.scores`: sums of products with centroids, looked up part by part."""
        found = np.zeros((len(queries), len(self.codes)), np.float32)
        size = self.centroids.shape[2]
        for part, centroids in enumerate(self.centroids):
            found += (queries[:, part * size : (part + 1) * size] @ centroids.T)[:, self.codes[:, part]]
        return found


def _means(points: Floats, generator: np.random.Generator) -> Floats:
    """Return 256 centroids of points [n, w], by Lloyd's k-means from distinct points; one that is left alone stays."""
    distinct = np.unique(points, axis=0)
    chosen = generator.permutation(len(distinct))
    centroids = distinct[np.resize(chosen, CENTROIDS)].astype(np.float32)
    for _ in range(ROUNDS):
        owners = _nearest(points, centroids)
        counts = np.bincount(owners, minlength=CENTROIDS)
        sums = np.stack([np.bincount(owners, column, CENTROIDS) for column in points.T], axis=1)
        centroids[counts > 0] = (sums[counts > 0] / counts[counts > 0, None]).astype(np.float32)
    return centroids


def _nearest(points: Floats, centroids: Floats) -> npt.NDArray[np.intp]:
    found: npt.NDArray[np.intp] = np.argmin((centroids**2).sum(1) - 2 * points @ centroids.T, axis=1)
    return found


def _unit(vectors: Floats) -> Floats:
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return found


def encode_items(
    vectors: Floats, kind: Kind, *, dimensions: int = 0, parts: int = 48, rng: np.random.Generator | int | None = None
) -> Codes:
    """Return items' vectors [n, d] in fewer bytes.

    Args:
        vectors: of length 1.
        kind: int8 takes a quarter of the bytes, binary a 32nd, matryoshka `dimensions` of the dimensions, product
            `parts` bytes a vector and its centroids.
        dimensions: that matryoshka keeps; 0 for half of them.
        parts: of a vector, for product.
        rng: for product.

    Raises:
        ConfigError: the dimensions do not go with the kind.
    """
    width = vectors.shape[1]
    if kind == "int8":
        return Bytes.of(vectors)
    if kind == "binary":
        return Bits.of(vectors)
    if kind == "product":
        return Products.of(vectors, parts, rng=rng)
    if not 0 <= dimensions <= width:
        raise ConfigError(f"dimensions = {dimensions} is not from 0 to the vectors' {width}; change it.")
    return Leading.of(vectors, dimensions or max(width // 2, 1))


def nearest_rows(
    codes: Codes, queries: Floats, k: int, *, vectors: Floats | None = None, depth: int = 0
) -> npt.NDArray[np.intp]:
    """Return the rows of the k vectors most like each query, best first, [b, k].

    Args:
        codes: the vectors in fewer bytes.
        queries: [b, d].
        k: wanted.
        vectors: of full precision, on disk perhaps: the best `depth` by codes are put in order by them.
        depth: how many; 0 puts none in order.
    """
    taken = max(k, depth if vectors is not None else 0)
    found = _best(codes.scores(queries), taken)
    if vectors is None or not depth:
        return found
    exact = np.einsum("bd,bcd->bc", queries, np.asarray(vectors[found]))
    return np.take_along_axis(found, _best(exact, k), axis=1)


def _best(scores: Floats, k: int) -> npt.NDArray[np.intp]:
    k = min(k, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1)


def recall_of(codes: Codes, exact: Floats, queries: Floats, k: int = 10, *, depth: int = 0) -> float:
    """Return which part of the k vectors nearest to queries is found by codes, averaged over queries.

    Args:
        codes: the vectors in fewer bytes.
        exact: the vectors of full precision [n, d], whose largest dot products are right.
        queries: [b, d].
        k: how many.
        depth: how many candidates are put in order anew by the exact vectors ("rescoring"); 0 for none.

    >>> vectors = np.eye(4, dtype=np.float32)
    >>> recall_of(Bytes.of(vectors), vectors, vectors, k=1)
    1.0
    """
    k = min(k, len(exact))
    shares = []
    for start in range(0, len(queries), BLOCK):
        part = queries[start : start + BLOCK]
        right = _best(part @ exact.T, k)
        found = nearest_rows(codes, part, k, vectors=exact if depth else None, depth=depth)
        shares.append((right[:, :, None] == found[:, None, :]).any(2).mean(1))
    return float(np.concatenate(shares).mean())
