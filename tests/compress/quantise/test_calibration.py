"""`twofold.compress.quantise.calibration` by hand."""

import numpy as np
import pytest
from tests.compress.quantise.conftest import product

from twofold.compress.quantise.calibration import Histogram, ranges, rows_in, span
from twofold.compress.quantise.soundness import load_graph
from twofold.core.errors import ConfigError


def histogram(values: np.ndarray) -> Histogram:
    made = Histogram(low=float(values.min()), high=float(values.max()))
    made.add(values)
    return made


def with_outlier(count: int = 100_000) -> np.ndarray:
    return np.append(np.random.default_rng(0).standard_normal(count), 100.0)


def test_minmax_holds_all_and_zero():
    one = histogram(np.array([2.0, 5.0]))
    assert span(one.counts, one.edges, "minmax") == (0.0, 5.0)


def test_percentile_cuts_the_rare():
    values = np.concatenate([np.linspace(-1, 1, 99_999), [50.0]])
    one = histogram(values)
    low, high = span(one.counts, one.edges, "percentile")
    assert -1.01 <= low < -0.9
    assert 0.9 < high < 1.1


def test_mse_takes_the_range_with_the_least_error():
    values = with_outlier(1_000_000)
    one = histogram(values)
    low, high = span(one.counts, one.edges, "mse")

    def error(low, high):
        step = (high - low) / 255
        return ((np.rint((np.clip(values, low, high) - low) / step) * step + low - values) ** 2).mean()

    assert error(low, high) < 0.7 * error(values.min(), values.max())


def test_entropy_cuts_a_lonely_outlier():
    one = histogram(with_outlier())
    low, high = span(one.counts, one.edges, "entropy")
    assert -6 < low < -2
    assert 2 < high < 60


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse", "entropy"])
def test_a_constant_and_nothing_have_ranges(method):
    one = Histogram(low=0, high=1)
    assert span(one.counts, one.edges, method) == (0.0, 0.0)
    one.add(np.zeros(5))
    low, high = span(one.counts, one.edges, method)
    assert low == 0 <= high < 0.01


def test_ranges_are_those_of_the_tensors_over_all_batches():
    model = load_graph(product(np.diag([1.0, 2.0]), np.eye(2)))
    feeds = [{"x": np.array([[1, -3]], np.float32)}, {"x": np.array([[4, 1], [0, 0]], np.float32)}]
    assert rows_in(feeds) == 3
    assert ranges(model, ["x", "h0"], feeds, "minmax") == {"x": (-3.0, 4.0), "h0": (-6.0, 4.0)}
    near = ranges(model, ["x", "h0"], feeds, "percentile")
    np.testing.assert_allclose(near["h0"], (-6, 4), atol=0.01)


def test_no_batch_and_damaged_activations_are_refused():
    model = load_graph(product(np.eye(2)))
    with pytest.raises(ConfigError, match="there are none"):
        ranges(model, ["x"], [], "minmax")
    with pytest.raises(ConfigError, match="'x' holds"):
        ranges(model, ["x"], [{"x": np.full((2, 2), np.nan, np.float32)}], "minmax")
