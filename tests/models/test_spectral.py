import numpy as np

from twofold.core import Histories
from twofold.models.spectral import spectral_vectors, told_by


def test_company_is_likeness() -> None:
    # Two circles that never meet, and an item that stands alone.
    log = Histories.from_lists([[0, 1, 2, 0, 2, 1], [3, 4, 5, 3, 5, 4]] * 5)
    vectors = spectral_vectors(log, 7, 4, seed=1)
    likeness = vectors @ vectors.T
    assert likeness[:3, :3].min() > likeness[:3, 3:6].max() + 0.1
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 1, 1, 0], atol=1e-5)


def test_more_columns_than_items_stay_empty() -> None:
    vectors = spectral_vectors(Histories.from_lists([[0, 1], [1, 2]]), 3, 8, seed=1)
    assert vectors.shape == (3, 8)
    assert not vectors[:, 2:].any()


def test_nothing_in_common_is_no_vector() -> None:
    assert not spectral_vectors(Histories.from_lists([[0], [1]]), 2, 4, seed=1).any()


def test_what_content_tells_by_hand() -> None:
    # One number of content: W = sum(c v) / (sum(c c) + 1).
    content, vectors = np.array([[1.0], [2.0]], np.float32), np.array([[3.0, 0.0], [1.0, 6.0]], np.float32)
    np.testing.assert_allclose(told_by(content, vectors), [[5 / 6, 2.0]], rtol=1e-6)
