from pathlib import Path

import numpy as np
import pytest

from twofold.retrieval.graph import Graph

SIZE, WIDE = 1_500, 24
SHAPE = {"neighbours": 16, "build_width": 64, "width": 128}


def unit(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, WIDE)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def graph_of(vectors: np.ndarray) -> Graph:
    return Graph.of(vectors, **SHAPE)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return unit(SIZE)


@pytest.fixture(scope="module")
def graph(vectors: np.ndarray) -> Graph:
    return graph_of(vectors)


def recall(codes: np.ndarray, products: np.ndarray) -> float:
    best = np.argsort(-products, axis=1)[:, : codes.shape[1]]
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in zip(codes, best, strict=True)]))


def test_nearly_all_of_the_nearest_are_found_and_scored_exactly(graph: Graph, vectors: np.ndarray) -> None:
    queries = unit(20, seed=1)
    codes, scores = graph.search(queries, 10)
    products = queries @ vectors.T
    assert recall(codes, products) > 0.95
    np.testing.assert_allclose(scores, np.take_along_axis(products, codes.astype(int), axis=1), rtol=1e-5, atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    alone, _ = graph.search(queries[3, None], 10)
    np.testing.assert_array_equal(alone[0], codes[3])


@pytest.mark.parametrize("share", [0.9, 0.2, 0.01])
def test_filters_leave_k_of_the_nearest_allowed(graph: Graph, vectors: np.ndarray, share: float) -> None:
    queries = unit(5, seed=2)
    allowed = np.random.default_rng(3).random((5, SIZE)) < share
    codes, _ = graph.search(queries, 8, allowed)
    assert codes.shape == (5, 8)
    assert np.take_along_axis(allowed, codes.astype(int), axis=1).all()
    assert recall(codes, np.where(allowed, queries @ vectors.T, -2)) > 0.9


def test_more_than_there_is_and_nothing_at_all(graph: Graph) -> None:
    codes, scores = graph.search(unit(2), 10, np.zeros((2, SIZE), bool))
    assert codes.size == scores.size == 0
    assert (np.sort(graph_of(unit(5)).search(unit(1), 10)[0]) == np.arange(5)).all()
    assert graph_of(np.zeros((3, WIDE), np.float32)).search(unit(2), 4)[0].shape == (2, 0)


def test_vectors_are_added_changed_and_taken_away(graph: Graph, vectors: np.ndarray) -> None:
    new = np.concatenate([vectors, unit(3, seed=9)])
    new[7], new[8] = unit(1, seed=10)[0], 0
    changed = np.array([7, 8, SIZE, SIZE + 1, SIZE + 2], np.int32)
    after = graph.put(new, changed)
    assert after.search(new[[7, SIZE + 2]], 1)[0].tolist() == [[7], [SIZE + 2]]
    assert 8 not in after.search(vectors[[8]], 50)[0]
    assert graph.search(vectors[[8, 7]], 1)[0].tolist() == [[8], [7]]  # who searches meanwhile sees the old one


def test_a_saved_graph_finds_the_same_and_can_be_changed(graph: Graph, vectors: np.ndarray, tmp_path: Path) -> None:
    graph.save(tmp_path / "graph")
    read = Graph.load(tmp_path / "graph", vectors, **SHAPE)
    queries = unit(6, seed=4)
    np.testing.assert_array_equal(read.search(queries, 10)[0], graph.search(queries, 10)[0])
    new = np.concatenate([vectors, unit(1, seed=9)])
    assert read.put(new, np.array([SIZE], np.int32)).search(new[[SIZE]], 1)[0].tolist() == [[SIZE]]
    np.testing.assert_array_equal(read.search(queries, 10)[0], graph.search(queries, 10)[0])
