"""Centring by its properties."""

from pathlib import Path

import numpy as np
import pytest

from twofold.encoders.image.centring import FEWEST, Centring
from twofold.encoders.session import unit


def vectors(count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    return unit((rng.normal(size=(count, 6)) * [1, 5, 2, 10, 0.5, 0.1] + 20).astype(np.float32))


def test_the_mean_goes_and_the_widest_directions_stay() -> None:
    found = Centring.fit(vectors(), 2)
    assert found is not None
    assert found.axes is not None
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(2), atol=1e-5)
    turned = (vectors() - vectors().mean(axis=0)) @ found.axes
    expected = np.linalg.svd(vectors() - vectors().mean(axis=0), compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(turned, axis=0), expected, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found(vectors()), axis=1), 1, atol=1e-5)


def test_all_directions_stay_where_few_vectors_say_which_matter() -> None:
    found = Centring.fit(vectors(), 6)
    assert found is not None
    assert found.axes is None
    np.testing.assert_allclose(found(vectors()), unit(vectors() - vectors().mean(axis=0)), atol=1e-4)
    assert Centring.fit(np.repeat(vectors(FEWEST - 1), 9, axis=0), 2) is None
    assert Centring.fit(vectors(FEWEST), 2) is not None


def test_zeros_stay_and_do_not_count() -> None:
    with_zeros = np.concatenate((vectors(), np.zeros((90, 6), np.float32)))
    one, other = Centring.fit(vectors(), 3), Centring.fit(with_zeros, 3)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.mean, other.mean)
    assert not other(with_zeros)[-90:].any()


@pytest.mark.parametrize("dimensions", [2, 6])
def test_it_comes_back_from_a_folder(tmp_path: Path, dimensions: int) -> None:
    found = Centring.fit(vectors(), dimensions)
    assert found is not None
    assert Centring.load(tmp_path) is None
    found.save(tmp_path)
    again = Centring.load(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again(vectors()), found(vectors()))
