import numpy as np
import pytest

from twofold.ranking.mixing import best_weight, gain, mix

NOT = -np.inf


def test_mixing_by_hand() -> None:
    first = np.array([[3.0, 2.0, 1.0, NOT]], np.float32)  # mean 2, spread sqrt(2/3)
    own = np.array([[0.0, 0.0, 3.0, np.nan]], np.float32)  # mean 1, spread sqrt(2)
    z = np.sqrt(3 / 2)
    half = np.array([0.5 * z - 0.5 / np.sqrt(2), -0.5 / np.sqrt(2), -0.5 * z + np.sqrt(2) / 2]) / z + 2
    np.testing.assert_allclose(mix(first, own, 0.5)[0, :3], half, atol=1e-5)
    assert mix(first, own, 0.5)[0, 3] == NOT
    np.testing.assert_allclose(mix(first, own, 0.0), first, atol=1e-5)


def test_no_opinion_counts_as_the_mean() -> None:
    mixed = mix(np.zeros((1, 3), np.float32), np.array([[1.0, np.nan, 3.0]], np.float32), 1.0)
    np.testing.assert_allclose(mixed, [[-1, 0, 1]], atol=1e-6)


def test_gain_by_hand() -> None:
    assert gain([7, 1, 2], {1: 1.0, 2: 3.0}) == pytest.approx((1 / np.log2(3) + 3 / 2) / (3 + 1 / np.log2(3)))
    assert gain([5] * 10 + [1], {1: 1.0}) == 0
    assert gain([1], {1: 0.0}) == 0


@pytest.mark.parametrize(("own", "weight", "quality"), [([0.0, 5.0], 0.6, 1.0), ([5.0, 0.0], 0.0, 0.6309)])
def test_the_weight_that_orders_best_is_chosen_the_smaller_at_a_tie(
    own: list[float], weight: float, quality: float
) -> None:
    items = np.array([[1, 2]], np.int32)
    found = best_weight(items, np.array([[2.0, 1.0]], np.float32), np.array([own], np.float32), [{2: 1.0}])
    assert found == (weight, pytest.approx(quality, abs=1e-4))
