"""What an experiment shows: intervals that hold however often one looks, and splits that are off."""

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from twofold.evaluate.significance import cluster_means
from twofold.events import Tally
from twofold.serve.experiments import Experiment
from twofold.serve.figures import always_valid, figures_of, mismatch
from twofold.serve.wire import Arm, ArmFigures

HALVES = (Arm(name="a", share=0.5), Arm(name="b", share=0.5))


def tally(arm: str, rates: np.ndarray) -> Tally:
    return Tally(
        arm=arm,
        units=len(rates),
        slates=len(rates),
        positive=int(rates.sum()),
        total=float(rates.sum()),
        squares=float((rates**2).sum()),
    )


def compared(first: int, second: int, users: int) -> ArmFigures:
    """Return what the second arm shows where so many users of each have clicked."""
    tallies = [
        Tally(arm=arm, units=users, slates=users, positive=hits, total=float(hits), squares=float(hits))
        for arm, hits in (("a", first), ("b", second))
    ]
    return figures_of(Experiment(name="x", arms=HALVES, started=0), tallies).arms[1]


def test_the_sequence_is_the_equation_worked_by_hand() -> None:
    # r² n = 1 at n = 5,000 / 7.93...: then half = e sqrt(4 log(sqrt(2) / .05)).
    weight = -2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))
    users = round(5_000 / weight)
    found, p = always_valid(0.3, 0.1, users, level=0.05)
    assert weight == pytest.approx(7.937, abs=1e-3)
    assert found.high - 0.3 == pytest.approx(0.1 * math.sqrt(4 * math.log(math.sqrt(2) / 0.05)), rel=1e-3)
    assert p == pytest.approx(math.sqrt(2) * math.exp(-9 / 4), rel=1e-3)


def test_interval_and_p_value_agree() -> None:
    for users in (2, 50, 5_000, 1_000_000):
        edge, _ = always_valid(0.0, 1.0, users, level=0.05)
        assert always_valid(edge.high, 1.0, users, level=0.05)[1] == pytest.approx(0.05)


def test_whoever_looks_all_the_time_is_seldom_wrong() -> None:
    rng, peeks = np.random.default_rng(0), np.arange(20, 3_001, 20)
    wrong = fixed = 0
    for _ in range(300):
        arms = (rng.random((2, 3_000)) < 0.2).cumsum(axis=1)[:, peeks - 1]
        rates = arms / peeks
        errors = np.sqrt((rates * (1 - rates) / peeks).sum(axis=0)).clip(1e-9)
        differences = rates[1] - rates[0]
        fixed += bool((np.abs(differences) > 1.96 * errors).any())
        shown = [compared(int(a), int(b), int(n)) for a, b, n in zip(*arms, peeks, strict=True)]
        wrong += any(one.p_value is not None and one.p_value < 0.05 for one in shown)
    assert fixed / 300 > 0.25
    assert wrong / 300 <= 0.05


def test_users_who_come_back_change_nothing_of_that() -> None:
    """Rates of users change with each of their slates, and some users come much more often than others."""
    rng, wrong, fixed = np.random.default_rng(0), 0, 0
    for _ in range(60):
        tastes = rng.beta(1, 6, size=(2, 800))
        who = (rng.pareto(1.2, size=(2, 4_000)) * 40).astype(int) % 800
        hits = rng.random((2, 4_000)) < np.take_along_axis(tastes, who, axis=1)
        clear, apart = False, False
        for look in range(100, 4_001, 100):
            tallies, means = [], []
            for arm, asked, answered in zip("ab", who[:, :look], hits[:, :look], strict=True):
                rates = cluster_means(answered, asked)
                tallies.append(tally(arm, rates))
                means.append((rates.mean(), rates.var(ddof=1) / len(rates)))
            shown = figures_of(Experiment(name="x", arms=HALVES, started=0), tallies).arms[1]
            clear |= shown.p_value is not None and shown.p_value < 0.05
            apart |= abs(means[0][0] - means[1][0]) > 1.96 * math.sqrt(means[0][1] + means[1][1])
        wrong, fixed = wrong + int(clear), fixed + int(apart)
    assert fixed / 60 > 0.15
    assert wrong / 60 <= 0.05


def test_a_true_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    arms = [tally("a", rng.random(4_000) < 0.20), tally("b", rng.random(4_000) < 0.25)]
    shown = figures_of(Experiment(name="x", arms=HALVES, started=0), arms)
    control, other = shown.arms
    assert control.rate is not None
    assert control.rate.low < 0.2 < control.rate.high
    assert other.difference is not None
    assert 0 < other.difference.low < 0.05 < other.difference.high
    assert other.p_value is not None
    assert other.p_value < 0.05
    assert shown.trouble is None


def test_several_arms_share_the_level() -> None:
    rng = np.random.default_rng(2)
    rows = {name: tally(name, rng.random(2_000) < rate) for name, rate in (("a", 0.2), ("b", 0.24), ("c", 0.2))}
    three = tuple(Arm(name=name, share=1 / 3) for name in "abc")
    alone = figures_of(Experiment(name="x", arms=HALVES, started=0), [rows["a"], rows["b"]]).arms[1]
    among = figures_of(Experiment(name="x", arms=three, started=0), list(rows.values())).arms[1]
    assert among.p_value == pytest.approx(2 * (alone.p_value or 0), rel=0.01)
    assert (among.difference or alone.difference).low < alone.difference.low  # type: ignore[union-attr]


def test_nothing_is_told_before_there_is_anything() -> None:
    experiment = Experiment(name="x", arms=HALVES, started=0)
    empty = figures_of(experiment, [])
    assert [(row.users, row.rate, row.difference, row.p_value) for row in empty.arms] == [(0, None, None, None)] * 2
    assert empty.split_p_value is None
    none = figures_of(experiment, [tally("a", np.zeros(9)), tally("b", np.zeros(9))]).arms[1]
    assert none.p_value == 1
    assert none.rate is not None
    assert (none.rate.low, none.rate.value) == (0, 0)
    assert none.rate.high > 0.3


def test_a_split_that_is_off_is_told_in_a_sentence() -> None:
    counts, shares = [480, 330, 190], [0.5, 0.3, 0.2]
    expected = chisquare(counts, [1_000 * share for share in shares]).pvalue
    assert mismatch(counts, shares) == pytest.approx(expected)
    experiment = Experiment(name="x", arms=HALVES, started=0)
    fine = figures_of(experiment, [tally("a", np.ones(480)), tally("b", np.ones(520))])
    assert fine.trouble is None
    off = figures_of(experiment, [tally("a", np.ones(440)), tally("b", np.ones(560))])
    assert off.split_p_value == pytest.approx(chisquare([440, 560]).pvalue)
    assert off.trouble is not None
    assert "a 440 of 1,000, wanted 50.0%" in off.trouble
    assert off.trouble.endswith("begin anew under another name.")
