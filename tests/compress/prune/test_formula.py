import numpy as np
import pytest

from twofold.compress.prune import threshold
from twofold.core.errors import ConfigError

MATRIX = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_threshold_of_three_tenths_keeps_four_tenths_and_more(kind):
    kept = threshold(np.array(MATRIX, kind), 0.3)
    assert kept.dtype == kind
    assert kept.tolist() == np.array([[0, 0, 0], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]], kind).tolist()


def test_signs_do_not_matter_and_the_weights_given_stay():
    weights = np.array([-0.4, -0.3, 0.2, 0.31])
    assert threshold(weights, 0.3).tolist() == [-0.4, 0.0, 0.0, 0.31]
    assert weights.tolist() == [-0.4, -0.3, 0.2, 0.31]


@pytest.mark.parametrize("theta", [-0.1, float("nan"), float("inf")])
def test_a_threshold_that_is_none_is_refused(theta):
    with pytest.raises(ConfigError, match="a threshold cannot be"):
        threshold(np.ones(2), theta)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value):
    with pytest.raises(ConfigError, match="NaN or infinite"):
        threshold(np.array([1.0, value]), 0.3)
