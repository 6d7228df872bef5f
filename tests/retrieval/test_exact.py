import numpy as np
import pytest

from twofold.retrieval import exact
from twofold.retrieval.exact import BitCodes, ByteCodes, FloatCodes, Precision, Scan, encode_vectors

PRECISIONS: list[Precision] = ["float32", "int8", "binary"]


def unit(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scan(vectors: np.ndarray, precision: Precision = "float32") -> Scan:
    return Scan(vectors, encode_vectors(vectors, precision))


def test_the_nearest_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float32)
    codes, scores = scan(vectors).search(np.array([[1, 0], [0, 2]], np.float32), 2)
    assert codes.tolist() == [[0, 2], [1, 2]]
    np.testing.assert_allclose(scores, [[1, 0.6], [2, 1.6]], rtol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_found_over_many_blocks_is_what_one_product_says(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "BLOCK", 37)
    vectors, queries = unit(500), unit(5, seed=1)
    codes, scores = scan(vectors, precision).search(queries, 10)
    products = queries @ vectors.T
    expected = np.argsort(-products, axis=1)[:, :10]
    shared = np.mean([len(set(one) & set(other)) for one, other in zip(codes, expected, strict=True)])
    assert shared >= (8 if precision == "binary" else 10)
    np.testing.assert_allclose(scores, np.take_along_axis(products, codes.astype(int), axis=1), rtol=1e-5, atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_equal_vectors_stand_by_their_codes_in_any_batch(precision: Precision) -> None:
    vectors = np.repeat(unit(40), 5, axis=0)
    queries = unit(33, seed=2)
    index = scan(vectors, precision)
    together = index.search(queries, 10)
    for row in range(len(queries)):
        alone = index.search(queries[row, None], 10)
        np.testing.assert_array_equal(alone[0][0], together[0][row])
        np.testing.assert_array_equal(alone[1][0], together[1][row])
    if precision != "binary":  # whose first look may leave out some of a run of equal codes
        assert (np.diff(together[0][:, :5], axis=1) == 1).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_only_what_is_allowed_is_found(precision: Precision, share: float) -> None:
    vectors, queries = unit(2_000), unit(3, seed=3)
    allowed = np.random.default_rng(4).random((3, 2_000)) < share
    codes, _ = scan(vectors, precision).search(queries, 20, allowed)
    assert codes.shape == (3, 20)
    for row, found in enumerate(codes):
        best = np.argsort(np.where(allowed[row], -(vectors @ queries[row]), np.inf))[:20]
        assert allowed[row, found].all()
        assert len(set(found.tolist()) & set(best.tolist())) >= (10 if precision == "binary" else 20)


def test_rows_with_few_and_with_many_allowed_stand_in_one_batch() -> None:
    vectors, queries = unit(2_000), unit(3, seed=3)
    allowed = np.ones((3, 2_000), bool)
    allowed[1] = False
    allowed[2, 3:] = False
    codes, scores = scan(vectors).search(queries, 5, allowed)
    assert (codes[0] >= 0).all()
    assert codes[1].tolist() == [-1] * 5
    assert sorted(codes[2, :3].tolist()) == [0, 1, 2]
    assert np.isneginf(scores[2, 3:]).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_zero_vectors_and_vectors_behind_the_mask_are_never_found(precision: Precision) -> None:
    vectors = unit(50)
    vectors[::2] = 0
    codes, _ = scan(vectors, precision).search(unit(1, seed=5), 50)
    assert sorted(codes[0].tolist()) == list(range(1, 50, 2))
    codes, _ = scan(vectors, precision).search(unit(1, seed=5), 50, np.ones((1, 40), bool))
    assert sorted(codes[0].tolist()) == list(range(1, 40, 2))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_to_look_at_finds_nothing(precision: Precision) -> None:
    assert scan(np.zeros((0, 64), np.float32), precision).search(unit(2), 5)[0].shape == (2, 0)
    assert scan(unit(3), precision).search(unit(2)[:0], 5)[0].shape == (0, 0)


def test_bytes_and_bits_by_hand() -> None:
    vectors = np.array([[1.27, -0.64, 0.0], [0, 0, 0]], np.float32)
    codes = ByteCodes.of(vectors)
    assert codes.codes.tolist() == [[127, -64, 0], [0, 0, 0]]
    np.testing.assert_allclose(codes.scales, [0.01, 1.0], rtol=1e-6)
    bits = BitCodes.of(vectors)
    query = bits.prepare(np.array([[1, 1, 1]], np.float32))
    assert bits.likeness(query, slice(0, 2)).tolist() == [[-2, -3]]


@pytest.mark.parametrize("kind", [FloatCodes, ByteCodes, BitCodes])
def test_changed_codes_are_those_of_the_changed_vectors(kind: type) -> None:
    old, new = unit(20), unit(25, seed=6)
    new[:18] = old[:18]
    of = getattr(kind, "of", kind)
    changed = of(old).put(new, np.arange(18, 25, dtype=np.int32))
    for name, array in of(new).arrays.items():
        np.testing.assert_array_equal(changed.arrays[name], array)
    assert len(changed) == 25
