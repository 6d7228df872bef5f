"""Who liked an item, as a vector."""

import numpy as np

from twofold.core import Histories
from twofold.encoders.behaviour import behaviour_vectors


def test_items_of_the_same_users_are_alike() -> None:
    log = Histories.from_lists([[0, 1, 2], [0, 1], [2, 3], [3], [0, 1, 3]])
    found = behaviour_vectors(log, 5, 4, np.random.default_rng(0))
    assert found.shape == (5, 4)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)  # both were liked by users 0, 1 and 4
    assert found[0] @ found[3] < 0.5
    assert not found[4].any()
    likes = np.array([[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [1, 0, 1, 0, 0], [0, 0, 1, 1, 1]], float)
    likes /= np.linalg.norm(likes, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:4] @ found[:4].T, likes @ likes.T, atol=1e-5)  # rank 3 of at most 4: exact


def test_dislikes_and_an_empty_log_say_nothing() -> None:
    assert not behaviour_vectors(Histories.empty(3), 4, 2, np.random.default_rng(0)).any()
    liked = Histories.from_lists([[0, 1], [0, 1], [2]])
    values = np.array([1, -1, 1, -1, 1], np.float32)
    mixed = Histories(indptr=liked.indptr, items=liked.items, values=values, timestamps=liked.timestamps)
    found = behaviour_vectors(mixed, 3, 2, np.random.default_rng(0))
    assert not found[1].any()
    assert found[0].any()
