"""Whitening by hand and by its properties."""

from pathlib import Path

import numpy as np

from twofold.encoders.image.whitening import Whitening
from twofold.encoders.session import unit


def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    stretched = rng.normal(size=(500, 6)) * [10, 5, 2, 1, 0.5, 0.1] + 20
    return unit(stretched.astype(np.float32))


def test_every_direction_spreads_alike() -> None:
    found = Whitening.fit(vectors(), 6)
    assert found is not None
    turned = (vectors() - found.mean) @ found.axes
    np.testing.assert_allclose(turned.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(turned.T @ turned / len(turned), np.eye(6), atol=5e-3)
    np.testing.assert_allclose(np.linalg.norm(found(vectors()), axis=1), 1, atol=1e-5)


def test_zeros_stay_and_do_not_count() -> None:
    with_zeros = np.concatenate((vectors(), np.zeros((90, 6), np.float32)))
    one, other = Whitening.fit(vectors(), 3), Whitening.fit(with_zeros, 3)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.mean, other.mean)
    assert not other(with_zeros)[-90:].any()
    assert other(with_zeros).shape == (590, 3)


def test_what_has_no_spread_is_left_out() -> None:
    flat = vectors()
    flat[:, 3:] = 0.5
    found = Whitening.fit(flat, 6)
    assert found is not None
    assert found.axes.shape == (6, 3)
    assert Whitening.fit(np.repeat(flat[:2], 9, axis=0), 6) is None


def test_it_comes_back_from_a_folder(tmp_path: Path) -> None:
    found = Whitening.fit(vectors(), 2)
    assert found is not None
    assert Whitening.load(tmp_path) is None
    found.save(tmp_path)
    again = Whitening.load(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again(vectors()), found(vectors()))
