"""`twofold.compress.quantise.formula`, by hand."""

import numpy as np
import pytest

from twofold.compress.quantise.formula import Scheme, dequantise, levels, quantise, relative_error
from twofold.core.errors import ConfigError


def test_levels_is_the_plain_formula():
    assert int(levels(3.14, 0.1)) == 31
    assert levels([3.14, -3.16, 0.04], 0.1).tolist() == [31, -32, 0]
    assert levels([0.5, 1.5, 2.5], 1.0).tolist() == [0, 2, 2]  # a half goes to the even neighbour
    assert levels([[1.0, 1.0]], [0.5, 0.25]).tolist() == [[2, 4]]


@pytest.mark.parametrize(("x", "q"), [(1.0, 0.0), (1.0, -0.1), (1.0, float("nan")), (float("inf"), 0.1)])
def test_levels_refuses_what_has_none(x, q):
    with pytest.raises(ConfigError):
        levels(x, q)


def test_symmetric_levels_by_hand():
    made = quantise(np.array([-1.27, 0.0, 0.014, 0.635], np.float32), Scheme())
    assert float(made.scale) == pytest.approx(0.01)
    assert made.levels.tolist() == [-127, 0, 1, 64]  # 63.5 is a half, to the even neighbour
    np.testing.assert_allclose(dequantise(made), [-1.27, 0.0, 0.01, 0.64], atol=1e-6)


def test_affine_levels_use_the_whole_range():
    made = quantise(np.array([-1.0, 0.0, 4.1], np.float32), Scheme(symmetric=False))
    assert float(made.scale) == pytest.approx(0.02)
    assert int(made.zero) == 50
    assert made.levels.tolist() == [0, 50, 255]
    np.testing.assert_allclose(dequantise(made), [-1.0, 0.0, 4.1], atol=1e-6)


def test_an_affine_range_holds_zero():
    made = quantise(np.array([2.0, 5.1], np.float32), Scheme(symmetric=False))
    assert (int(made.zero), made.levels.tolist()) == (0, [100, 255])


def test_each_channel_is_a_column_with_its_scale():
    weights = np.array([[0.7, 70.0], [-0.1, 10.0]], np.float32)
    made = quantise(weights, Scheme(bits=4, granularity="channel"))
    np.testing.assert_allclose(made.scale, [[0.1, 10.0]], rtol=1e-6)
    assert made.levels.tolist() == [[7, 7], [-1, 1]]
    np.testing.assert_allclose(dequantise(made), weights, rtol=1e-5)


def test_each_group_is_some_rows_of_a_column():
    weights = np.array([[0.7], [0.1], [70.0], [10.0], [3.5]], np.float32)
    made = quantise(weights, Scheme(bits=4, granularity="group", group=2))
    np.testing.assert_allclose(made.scale.ravel(), [0.1, 10.0, 0.5], rtol=1e-6)
    assert made.levels.reshape(-1).tolist() == [7, 1, 7, 1, 7, 0]
    np.testing.assert_allclose(dequantise(made), weights, rtol=1e-5)


def test_finer_scales_and_more_bits_err_less():
    weights = np.random.default_rng(0).standard_normal((64, 8)) * np.logspace(-1, 1, 8)
    weights[:8] *= 5
    errors = [relative_error(weights, Scheme(bits=4, granularity=one)) for one in ("tensor", "channel", "group")]
    grouped = relative_error(weights, Scheme(bits=4, granularity="group", group=8))
    assert errors[0] > errors[1] >= errors[2] > grouped > relative_error(weights, Scheme(granularity="channel"))


def test_no_number_is_off_by_more_than_half_a_step():
    weights = np.random.default_rng(1).uniform(-3, 5, (50, 6)).astype(np.float32)
    for symmetric in (True, False):
        made = quantise(weights, Scheme(symmetric=symmetric, granularity="channel"))
        assert (np.abs(dequantise(made) - weights) <= made.scale / 2 + 1e-5).all()


def test_zeros_stay_zeros():
    for granularity in ("tensor", "channel", "group"):
        for symmetric in (True, False):
            scheme = Scheme(granularity=granularity, symmetric=symmetric)
            assert not dequantise(quantise(np.zeros((3, 2), np.float32), scheme)).any()
            assert relative_error(np.zeros((3, 2), np.float32), scheme) == 0


def test_bytes_are_those_of_packed_levels_and_scales():
    weights = np.ones((64, 10), np.float32)
    assert quantise(weights, Scheme()).bytes == 640 + 4
    assert quantise(weights, Scheme(bits=4, granularity="group", group=32)).bytes == 320 + 4 * 20
    assert quantise(weights, Scheme(granularity="channel", symmetric=False)).bytes == 640 + 40 + 10


def test_damaged_weights_and_other_shapes_are_refused():
    with pytest.raises(ConfigError, match="not finite"):
        quantise(np.array([1.0, np.nan]), Scheme())
    with pytest.raises(ConfigError, match="no channels"):
        quantise(np.ones(4), Scheme(granularity="channel"))
    with pytest.raises(ConfigError, match="bits = 1"):
        Scheme(bits=1)
    with pytest.raises(ConfigError, match="group = 0"):
        Scheme(group=0)
