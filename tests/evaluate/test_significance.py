import time

import numpy as np
import pytest

from twofold.evaluate.significance import (
    bootstrap_interval,
    bootstrap_intervals,
    cluster_mean,
    cluster_means,
    holm,
    paired_test,
    ratio_interval,
)


def test_cluster_means_by_hand():
    clusters = np.array([9, 2, 9, 9])
    assert cluster_means([1.0, 5.0, 2.0, 3.0], clusters).tolist() == [5.0, 2.0]
    assert cluster_mean([1.0, 5.0, 2.0, 3.0], clusters) == 3.5
    assert cluster_means([[1, 2], [3, 4], [5, 6], [7, 8]], clusters).tolist() == [[3, 4], [13 / 3, 16 / 3]]


def test_clusters_of_one_are_the_values_by_rising_number():
    assert cluster_means([1.0, 2.0, 3.0], np.array([5, 1, 3])).tolist() == [2.0, 3.0, 1.0]


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval(values)


def test_misaligned_clusters_are_refused():
    with pytest.raises(ValueError, match="align"):
        cluster_means([1.0, 2.0], np.array([1]))


@pytest.mark.parametrize("options", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
def test_senseless_options_are_refused(options):
    with pytest.raises(ValueError, match="level between 0 and 1"):
        bootstrap_interval([1.0, 2.0], **options)


def test_interval_of_constant_values_is_a_point():
    assert bootstrap_interval([0.25] * 7) == (0.25, 0.25)
    assert bootstrap_interval([0.25]) == (0.25, 0.25)


def test_interval_agrees_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 2, 5_000)
    low, high = bootstrap_interval(values, level=0.9, resamples=4_000)
    half = 1.645 * values.std() / np.sqrt(5_000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_interval_depends_on_the_seed_alone():
    values = np.random.default_rng(1).random(50)
    assert bootstrap_interval(values, rng=3) == bootstrap_interval(values, rng=3)
    assert bootstrap_interval(values, rng=3) != bootstrap_interval(values, rng=4)


def test_intervals_of_many_columns_equal_those_of_each():
    values = np.random.default_rng(1).random((60, 3))
    clusters = np.arange(60) // 2
    low, high = bootstrap_intervals(values, clusters=clusters)
    for column in range(3):
        alone = bootstrap_interval(values[:, column], clusters=clusters)
        assert (low[column], high[column]) == pytest.approx(alone)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(7)
    truth, tries = 0.2, 400
    hit = 0
    for _ in range(tries):
        low, high = bootstrap_interval((rng.random(150) < truth).astype(float), level=0.9, resamples=400, rng=rng)
        hit += low <= truth <= high
    assert 0.86 <= hit / tries <= 0.94


def test_clustered_intervals_hold_the_truth_where_plain_ones_do_not():
    rng = np.random.default_rng(8)
    clusters, tries = np.repeat(np.arange(40), 10), 300
    clustered = plain = 0
    for _ in range(tries):
        values = np.repeat(rng.normal(size=40), 10) + 0.1 * rng.normal(size=400)
        low, high = bootstrap_interval(values, clusters=clusters, level=0.9, resamples=300, rng=rng)
        clustered += low <= 0 <= high
        low, high = bootstrap_interval(values, level=0.9, resamples=300, rng=rng)
        plain += low <= 0 <= high
    assert 0.84 <= clustered / tries <= 0.94
    assert plain / tries < 0.6


def test_ratio_interval_holds_the_ratio():
    rng = np.random.default_rng(2)
    below = rng.random(2_000)
    low, high = ratio_interval(1.5 * below + 0.01 * rng.normal(size=2_000), below)
    assert 1.48 < low < 1.5 < high < 1.52
    # The pairing is kept: the same resample serves both.
    assert ratio_interval(2 * below, below) == pytest.approx((2, 2))


def test_ratio_to_nothing_is_refused_and_a_resample_without_it_is_infinite():
    with pytest.raises(ValueError, match="mean of 0"):
        ratio_interval([1.0, 2.0], [0.0, 0.0])
    low, high = ratio_interval([1.0, 1.0], [1.0, 0.0])
    assert low == 1.0
    assert high == np.inf


def test_paired_test_counts_all_sign_patterns_of_few_cases():
    # The sums of +-1 +-2 +-3 over the 8 patterns are 6, 4, 2, 0, 0, -2, -4, -6; observed are 6, 0 and 4.
    assert paired_test([1.0, 2.0, 3.0], [0.0] * 3).p_value == 2 / 8
    assert paired_test([1.0, 2.0, 0.0], [0.0, 0.0, 3.0]).p_value == 1.0
    assert paired_test([0.0, 2.0, 3.0], [1.0, 0.0, 0.0]).p_value == 4 / 8


def test_paired_test_of_equal_systems_finds_nothing():
    found = paired_test([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_paired_test_drawn_and_counted_patterns_agree():
    rng = np.random.default_rng(3)
    values = rng.normal(0.4, 1, 14)
    counted = paired_test(values, np.zeros(14), resamples=2**14).p_value
    drawn = paired_test(values, np.zeros(14), resamples=2**14 - 1).p_value
    assert 0.01 < counted < 0.9
    assert drawn == pytest.approx(counted, abs=0.02)


def test_paired_test_is_uniform_under_the_null():
    rng = np.random.default_rng(4)
    p_values = np.array([paired_test(*rng.normal(size=(2, 60)), resamples=500, rng=rng).p_value for _ in range(400)])
    for level in (0.05, 0.25, 0.5, 0.75):
        assert (p_values <= level).mean() == pytest.approx(level, abs=0.06)


def test_paired_test_sees_a_real_difference_and_its_size():
    rng = np.random.default_rng(5)
    base = rng.random(500)
    found = paired_test(base + 0.05 + 0.1 * rng.normal(size=500), base)
    assert found.p_value < 0.001
    assert found.low < 0.05 < found.high
    assert found.low > 0.03


def test_paired_test_counts_users_not_cases():
    # One user with a hundred cases is one piece of evidence.
    a, clusters = np.ones(102), np.array([0] * 100 + [1, 2])
    assert paired_test(a, np.zeros(102), clusters=clusters).p_value == 2 / 8


def test_paired_test_refuses_other_cases():
    with pytest.raises(ValueError, match="other cases"):
        paired_test([1.0], [1.0, 2.0])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_six_thousand_values_take_little_time():
    values = np.random.default_rng(0).random(6_040)
    spent = []
    for _ in range(3):  # processor time, and the best of three: other work on the machine does not count
        start = time.process_time()
        bootstrap_interval(values)
        paired_test(values, values[::-1])
        spent.append(time.process_time() - start)
    assert min(spent) < 1.5
