"""Speed and recall of dense indexes on made-up vectors: exact scans, Twofold's graph, and other graph libraries."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measure import measured
from twofold.core.scores import Floats, Mask
from twofold.retrieval.exact import Precision, Scan, encode_vectors
from twofold.retrieval.graph import Graph

__all__ = ["clustered", "run"]

SIZES = (10_000, 30_000, 100_000)
DIMENSIONS = 384
QUERIES = 256
CHANGED = 1_000
SHARES = {"half": 0.5, "a twentieth": 0.05}
NEIGHBOURS, BUILD_WIDTH, WIDTH = 16, 128, 256

Codes = npt.NDArray[np.integer]


class Candidate(ABC):
    """An index that is measured."""

    @abstractmethod
    def __init__(self, vectors: Floats) -> None: ...

    @abstractmethod
    def search(self, queries: Floats, k: int, allowed: Mask | None = None) -> Codes:
        """Return the codes of the k nearest to each query; `allowed` [n] holds for all."""

    @abstractmethod
    def change(self, vectors: Floats) -> tuple[float, float]:
        """Add vectors behind the others and then delete as many of the first; return the seconds of both."""


class TwofoldScan(Candidate):
    """An exact scan."""

    precision: Precision

    def __init__(self, vectors: Floats) -> None:
        self.index: Scan | Graph = Scan(vectors, encode_vectors(vectors, self.precision))

    def search(self, queries: Floats, k: int, allowed: Mask | None = None) -> Codes:
        """See `Candidate.search`."""
        mask = None if allowed is None else np.broadcast_to(allowed, (len(queries), len(allowed)))
        return self.index.search(queries, k, mask)[0]

    def change(self, vectors: Floats) -> tuple[float, float]:
        """See `Candidate.change`."""
        spent, old = [], self.index.vectors
        longer = np.concatenate([old, vectors])
        less = longer.copy()
        less[: len(vectors)] = 0
        for values, codes in ((longer, np.arange(len(old), len(longer))), (less, np.arange(len(vectors)))):
            begun = time.perf_counter()
            changed = codes.astype(np.int32)
            if isinstance(self.index, Graph):
                self.index = self.index.put(values, changed)
            else:
                self.index = Scan(values, self.index.codes.put(values, changed))
            spent.append(time.perf_counter() - begun)
        return spent[0], spent[1]


class TwofoldFloats(TwofoldScan):
    """An exact scan of the vectors as they are."""

    precision = "float32"


class TwofoldBytes(TwofoldScan):
    """An exact scan of bytes."""

    precision = "int8"


class TwofoldBits(TwofoldScan):
    """An exact scan of signs."""

    precision = "binary"


class TwofoldGraph(TwofoldScan):
    """The graph, which usearch builds at half precision; what it finds is scored anew."""

    def __init__(self, vectors: Floats) -> None:
        self.index = Graph.of(vectors, neighbours=NEIGHBOURS, build_width=BUILD_WIDTH, width=WIDTH)


class Hnswlib(Candidate):
    """hnswlib; a filter is a Python function, deleted vectors are marked."""

    def __init__(self, vectors: Floats) -> None:
        hnswlib = import_module("hnswlib")

        self.index = hnswlib.Index("ip", DIMENSIONS)
        self.index.init_index(len(vectors) + CHANGED, M=NEIGHBOURS, ef_construction=BUILD_WIDTH)
        self.index.add_items(vectors)
        self.index.set_ef(WIDTH)

    def search(self, queries: Floats, k: int, allowed: Mask | None = None) -> Codes:
        """See `Candidate.search`."""
        if allowed is None:
            return np.asarray(self.index.knn_query(queries, k)[0])
        return np.asarray(self.index.knn_query(queries, k, num_threads=1, filter=allowed.__getitem__)[0])

    def change(self, vectors: Floats) -> tuple[float, float]:
        """See `Candidate.change`."""
        begun = time.perf_counter()
        self.index.add_items(vectors)
        added = time.perf_counter()
        for code in range(len(vectors)):
            self.index.mark_deleted(code)
        return added - begun, time.perf_counter() - added


class Faiss(Candidate):
    """faiss; a filter is a bitmap. It deletes nothing from a graph: a bitmap hides what is gone."""

    def __init__(self, vectors: Floats) -> None:
        faiss = import_module("faiss")

        self.index = faiss.IndexHNSWFlat(DIMENSIONS, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = BUILD_WIDTH
        self.index.add(vectors)
        self.index.hnsw.efSearch = WIDTH
        self.live: Mask | None = None

    def search(self, queries: Floats, k: int, allowed: Mask | None = None) -> Codes:
        """See `Candidate.search`."""
        faiss = import_module("faiss")

        allowed = self.live if allowed is None else allowed
        if allowed is None:
            return np.asarray(self.index.search(queries, k)[1])
        bits = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        options = faiss.SearchParametersHNSW(sel=bits, efSearch=WIDTH)
        return np.asarray(self.index.search(queries, k, params=options)[1])

    def change(self, vectors: Floats) -> tuple[float, float]:
        """See `Candidate.change`."""
        begun = time.perf_counter()
        self.index.add(vectors)
        added = time.perf_counter()
        self.live = np.arange(self.index.ntotal) >= len(vectors)
        return added - begun, time.perf_counter() - added


SCANS = {"float32 scan": TwofoldFloats, "int8 scan": TwofoldBytes, "binary scan": TwofoldBits}
GRAPHS = {"graph": TwofoldGraph, "hnswlib": Hnswlib, "faiss": Faiss}


def clustered(count: int, rng: np.random.Generator) -> Floats:
    """Make up unit vectors like those of texts: 1,000 clusters in 32 hidden dimensions, turned into 384, with noise."""
    mixing = rng.standard_normal((32, DIMENSIONS), dtype=np.float32) / np.float32(32**0.5)
    centres = rng.standard_normal((1_000, 32), dtype=np.float32)
    hidden = centres[rng.integers(1_000, size=count)] + np.float32(0.7) * rng.standard_normal((count, 32), np.float32)
    vectors = hidden @ mixing + np.float32(0.3) * rng.standard_normal((count, DIMENSIONS), np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def run(_: object, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure all indexes at the largest size, and where scan and graph cross at the smaller ones."""
    together = clustered(SIZES[-1] + QUERIES + CHANGED, np.random.default_rng(0))
    queries, new = together[:QUERIES], together[QUERIES : QUERIES + CHANGED]
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        vectors = np.ascontiguousarray(together[QUERIES + CHANGED :][:size])
        whole = size == SIZES[-1]
        for name, make in {**SCANS, **(GRAPHS if whole else {"graph": TwofoldGraph})}.items():
            progress(f"{size:,} vectors: {name}")
            found = _measure(make, vectors, queries, new, whole)
            part = "" if whole else f", {size:,} vectors"
            rows += [
                {"system": name, "metric": metric + part, "value": float(value), "low": None, "high": None}
                for metric, value in found.items()
            ]
    protocol = {
        "vectors": f"{SIZES[-1]:,} x {DIMENSIONS}, made up: see benchmarks/dense.py",
        "queries": QUERIES,
        "graphs": {"neighbours": NEIGHBOURS, "build width": BUILD_WIDTH, "width": WIDTH},
        "recall": "share of the true nearest, ties by code",
        "latency": "median over single queries; 64 together: time of a batch by its size, median of 3",
        "filters": "one random mask for all queries, by the share that it allows",
        "memory": "growth of the resident memory while the index is made, beside the vectors",
        "change": f"{CHANGED:,} vectors added, then {CHANGED:,} deleted",
    }
    return {"protocol": protocol, "rows": rows}


def _measure(
    make: Callable[[Floats], Candidate], vectors: Floats, queries: Floats, new: Floats, whole: bool
) -> dict[str, float]:
    with measured() as cost:
        index = make(vectors)
    found = {
        "build s": cost.seconds,
        "MB": cost.megabytes,
        "ms a query": _single(index, queries, 10),
        "ms a query, k=300": _single(index, queries, 300),
    }
    products = queries @ vectors.T
    for k in (10, 100):
        found[f"recall@{k}"] = _recall(index.search(queries, k), products)
    if not whole:
        return found
    batches = []
    for _ in range(3):
        begun = time.perf_counter()
        index.search(queries[:64], 10)
        batches.append(time.perf_counter() - begun)
    found["ms a query, 64 together"] = 1000 * median(batches) / 64
    for name, share in SHARES.items():
        allowed = np.random.default_rng(1).random(len(vectors)) < share
        hidden = np.where(allowed, products, np.float32(-2))
        found[f"ms a query, {name} allowed"] = _single(index, queries[:64], 10, allowed)
        found[f"recall@10, {name} allowed"] = _recall(index.search(queries, 10, allowed), hidden)
    added, deleted = index.change(new)
    found["ms to add 1,000"], found["ms to delete 1,000"] = 1000 * added, 1000 * deleted
    after = np.concatenate([products, queries @ new.T], axis=1)
    after[:, : len(new)] = -2
    found["recall@10 after the change"] = _recall(index.search(queries, 10), after)
    return found


def _single(index: Candidate, queries: Floats, k: int, allowed: Mask | None = None) -> float:
    """Return the median milliseconds of a search for one query."""
    spent = []
    for row in range(len(queries)):
        begun = time.perf_counter()
        index.search(queries[row, None], k, allowed)
        spent.append(time.perf_counter() - begun)
    return 1000 * median(spent)


def _recall(codes: Codes, products: Floats) -> float:
    k = codes.shape[1]
    best = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return float(np.mean([len(set(one) & set(other)) / k for one, other in zip(codes, best, strict=True)]))
