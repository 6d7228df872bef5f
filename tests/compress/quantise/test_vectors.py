"""`twofold.compress.quantise.vectors`, by hand and on random vectors."""

import numpy as np
import pytest

from twofold.compress.quantise.vectors import Bits, Bytes, Leading, Products, encode_items, nearest_rows, recall_of
from twofold.core.errors import ConfigError


def unit(count: int, width: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    vectors *= np.linspace(2, 0.2, width, dtype=np.float32)  # leading dimensions say most, as matryoshka models' do
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_bytes_by_hand():
    codes = Bytes.of(np.array([[1.27, -0.64], [0.0, 0.0]], np.float32))
    assert codes.levels.tolist() == [[127, -64], [0, 0]]
    assert codes.scales[0] == pytest.approx(0.01)
    assert codes.bytes == 4 + 8


def test_bits_by_hand():
    codes = Bits.of(np.array([[1.0, 4.0], [3.0, 2.0]], np.float32))  # means 2 and 3
    assert codes.packed.tolist() == [[0b01000000], [0b10000000]]
    assert codes.scores(np.array([[0.5, 2.0]], np.float32)).tolist() == [[1.5, -1.5]]


def test_leading_dimensions_have_length_one_again():
    codes = Leading.of(np.array([[3.0, 4.0, 12.0]], np.float32), 2)
    np.testing.assert_allclose(codes.kept, [[0.6, 0.8]], rtol=1e-6)


def test_parts_of_few_distinct_kinds_are_found_exactly():
    vectors = np.random.default_rng(0).choice([-1.0, 0.0, 2.0], (300, 8)).astype(np.float32)  # 9 kinds of a part of 2
    codes = Products.of(vectors, 4, rng=0)
    np.testing.assert_allclose(codes.scores(vectors), vectors @ vectors.T, atol=1e-5)
    assert codes.codes.shape == (300, 4)


def test_recall_counts_what_is_found():
    exact = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], np.float32)
    swapped = Leading(np.array([[1, 0], [0, 1], [0.9, 0.1], [-1, 0]], np.float32))
    queries = np.array([[1, 0]], np.float32)
    assert recall_of(swapped, exact, queries, k=2) == 0.5  # 0 and 1 are right, 0 and 2 are found
    assert recall_of(swapped, exact, queries, k=2, depth=3) == 1.0


def test_rescoring_gives_the_exact_order():
    vectors, queries = unit(500, 32), unit(20, 32, seed=1)
    found = nearest_rows(Bits.of(vectors), queries, 5, vectors=vectors, depth=500)
    assert found.tolist() == np.argsort(-(queries @ vectors.T), axis=1)[:, :5].tolist()


@pytest.mark.parametrize(
    ("kind", "share", "least"), [("int8", 4, 0.95), ("binary", 32, 0.2), ("matryoshka", 2, 0.6), ("product", 4, 0.5)]
)
def test_each_kind_takes_its_part_of_the_memory_and_finds_most(kind, share, least):
    vectors, queries = unit(4000, 64), unit(50, 64, seed=1)
    codes = encode_items(vectors, kind, parts=16, rng=0)
    assert codes.bytes <= vectors.nbytes / share + 4 * 4000 + 256 * 64 * 4
    plain = recall_of(codes, vectors, queries)
    rescored = recall_of(codes, vectors, queries, depth=800)
    assert least < plain <= rescored
    assert rescored > 0.95


def test_what_does_not_go_is_refused():
    with pytest.raises(ConfigError, match="multiple of 5 parts"):
        encode_items(unit(10, 8), "product", parts=5)
    with pytest.raises(ConfigError, match="dimensions = 9"):
        encode_items(unit(10, 8), "matryoshka", dimensions=9)
