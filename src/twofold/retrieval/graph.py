"""Graph index: near vectors are neighbours in a graph, and a search walks along it without seeing most of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from twofold.core.ids import Codes
from twofold.core.scores import Floats, Mask, rank_rows
from twofold.retrieval.exact import FloatCodes, Scan, dots

if TYPE_CHECKING:
    from usearch.index import Index

__all__ = ["Graph"]

RARE = 0.05
"""Where a smaller share of the vectors is allowed, the allowed ones are scanned; a walk would pass too many others."""


class Graph:
    """A hierarchical navigable small world of vectors, kept at half precision; what it finds is scored anew.

    A graph is never altered: `put` returns another one, so that searches under way see one state.

    Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs", TPAMI 2020; the library is usearch.

    Args:
        vectors: float32 [n, d]; zero vectors are never found.
        index: the graph of those that are not zero.
    """

    def __init__(self, vectors: Floats, index: "Index") -> None:
        self.vectors, self.index = vectors, index
        self._scan = Scan(vectors, FloatCodes(vectors))
        self.present = self._scan.present

    @classmethod
    def of(cls, vectors: Floats, *, neighbours: int, build_width: int, width: int) -> Self:
        """Build the graph of vectors [n, d].

        Args:
            vectors: float32 [n, d].
            neighbours: how many each vector has, in the upper layers; in the lowest twice as many.
            build_width: how many candidates are kept while the neighbours of a vector are looked for.
            width: how many are kept in a search.
        """
        graph = cls(vectors, _empty(vectors.shape[1], neighbours, build_width, width))
        there = np.flatnonzero(graph.present)
        if len(there):
            graph.index.add(there.astype(np.uint64), vectors[there])
        return graph

    def search(self, queries: Floats, k: int, allowed: Mask | None = None) -> tuple[Codes, Floats]:
        """Return a ranking of near vectors; see `Scan.search`. Not all of them need be the nearest."""
        if allowed is None:
            codes = self._walk(queries, k)
            return self._scored(codes, queries, k)
        allowed = self._scan.fitted(allowed)
        shares = np.count_nonzero(allowed, axis=1) / max(len(self.index), 1)
        parts = [
            self._through(queries[row, None], k, allowed[row, None], share) for row, share in enumerate(shares.tolist())
        ]
        width = max((codes.shape[1] for codes, _ in parts), default=0)
        found = np.full((len(parts), width), -1, np.int32)
        scores = np.full((len(parts), width), -np.inf, np.float32)
        for row, (codes, values) in enumerate(parts):
            found[row, : codes.shape[1]], scores[row, : codes.shape[1]] = codes[0], values[0]
        return found, scores

    def put(self, vectors: Floats, changed: Codes) -> "Graph":
        """Return the graph of vectors [n, d] of which only some, or those at the end, are not as they were."""
        index = self.index.copy()
        keys = changed.astype(np.uint64)
        known = keys[index.contains(keys)] if len(keys) else keys
        if len(known):
            index.remove(known)
        there = changed[vectors[changed].any(axis=1)]
        if len(there):
            index.add(there.astype(np.uint64), vectors[there])
        return Graph(vectors, index)

    def save(self, path: Path) -> None:
        """Write the graph into a file of usearch's own."""
        self.index.save(str(path))

    @classmethod
    def load(cls, path: Path, vectors: Floats, *, neighbours: int, build_width: int, width: int) -> Self:
        """Open what `save` wrote, memory-mapped."""
        index = _empty(vectors.shape[1], neighbours, build_width, width)
        index.view(str(path))
        return cls(vectors, index)

    def _through(self, query: Floats, k: int, allowed: Mask, share: float) -> tuple[Codes, Floats]:
        """Search for one query; the fewer are allowed, the more are looked at, and all of the allowed in the end."""
        wanted = min(k, np.count_nonzero(allowed))
        limit = int(1.2 * k / max(share, RARE)) + 1
        while share >= RARE and limit < len(self.index) * RARE * 4:
            codes = self._walk(query, limit)
            kept = codes[:, (codes[0] >= 0) & allowed[0, codes[0]]]
            if kept.shape[1] >= wanted:
                return self._scored(kept, query, k)
            limit *= 4
        return self._scan.search(query, k, allowed)

    def _walk(self, queries: Floats, k: int) -> Codes:
        """Return the codes of k near vectors of each query [b, k], -1 where there is no more."""
        count = min(k, len(self.index))
        codes = np.full((len(queries), count), -1, np.int32)
        if not count or not len(queries):
            return codes
        found = self.index.search(queries, count, threads=1 if len(queries) == 1 else 0)
        keys, counts = np.atleast_2d(found.keys), np.atleast_1d(getattr(found, "counts", len(found)))
        for row, length in enumerate(counts):
            codes[row, :length] = keys[row, :length]
        return codes

    def _scored(self, codes: Codes, queries: Floats, k: int) -> tuple[Codes, Floats]:
        values = dots(self.vectors, codes, queries)
        found, scores = rank_rows(codes, np.where(codes < 0, np.float32(-np.inf), values))
        return found[:, :k], scores[:, :k]


def _empty(dimensions: int, neighbours: int, build_width: int, width: int) -> "Index":
    import onnxruntime  # noqa: F401, PLC0415  some versions of usearch break it where they are loaded before it
    from usearch.index import Index  # noqa: PLC0415  small catalogues need no graph; see docs/decisions/0011

    return Index(
        ndim=dimensions,
        metric="ip",
        dtype="f16",
        connectivity=neighbours,
        expansion_add=build_width,
        expansion_search=width,
    )
