"""What an experiment shows: the rate of each arm, its difference to the control's, and whether the split was as wanted.

The rate of a user is the share of their slates that at least one positive event answers; that of an arm is the mean
over its users, as `evaluate.cluster_mean` has it, since slates of one user are no independent evidence.

Who looks often at an interval that holds at one time will sooner or later see it exclude 0 by chance alone. These are
confidence sequences, which hold at all times at once: an experiment may be watched, and stopped as soon as it is clear.
With the estimate m, its standard error e, the number of users n and the level 1 - a, the sequence is

    m ± e √(2 (n r² + 1) / (n r²) · log(√(n r² + 1) / a))

and the p-value, for z = m / e, is the least a that leaves 0 out: √(n r² + 1) exp(-z² n r² / (2 (n r² + 1))), 1 at most.
r² = (-2 log a + log(1 - 2 log a)) / 5,000 makes the sequence narrowest at 5,000 users.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 52(6), 2024, theorem 2.2 and appendix B. It is the mixture of Robbins, and the
p-value that of the mixture SPRT: Johari, Koomen, Pekelis and Walsh, "Always valid inference: continuous monitoring of
A/B tests", Operations Research 70(3), 2022.
"""

import math
from collections.abc import Mapping, Sequence

from scipy.special import chdtrc

from twofold.events import Tally
from twofold.serve.experiments import Experiment
from twofold.serve.wire import ArmFigures, Figures, Interval

__all__ = ["always_valid", "figures_of", "mismatch"]

LEVEL = 0.05
"""How often, over all time, an interval leaves the truth out, at most."""
NARROWEST = 5_000
MISMATCH = 0.001
"""Splits that are so unlikely are taken for broken: Fabijan et al., "Diagnosing sample ratio mismatch", KDD 2019."""


def figures_of(experiment: Experiment, tallies: Sequence[Tally]) -> Figures:
    """Return what an experiment shows by now.

    Where several arms are compared with the control, they share the level (Bonferroni), in interval and p-value.
    """
    summed: Mapping[str, Tally] = {tally.arm: tally for tally in tallies}
    none = Tally(arm="", units=0, slates=0, positive=0, total=0.0, squares=0.0)
    rows = [summed.get(arm.name, none) for arm in experiment.arms]
    control, compared = rows[0], len(rows) - 1
    arms = []
    for arm, row in zip(experiment.arms, rows, strict=True):
        difference, p_value = None, None
        if row is not control and min(row.units, control.units) > 1:
            error = math.hypot(_error(row), _error(control))
            difference, p = always_valid(
                _rate(row) - _rate(control), error, row.units + control.units, level=LEVEL / compared
            )
            p_value = min(p * compared, 1.0)
        rate = None
        if row.units > 1:
            found, _ = always_valid(_rate(row), _error(row), row.units, level=LEVEL)
            rate = Interval(value=found.value, low=max(found.low, 0.0), high=min(found.high, 1.0))
        arms.append(
            ArmFigures(
                arm=arm,
                users=row.units,
                slates=row.slates,
                positive=row.positive,
                rate=rate,
                difference=difference,
                p_value=p_value,
            )
        )
    counts = [row.units for row in rows]
    split = mismatch(counts, [arm.share for arm in experiment.arms]) if sum(counts) else None
    return Figures(
        name=experiment.name,
        started=experiment.started,
        stopped=experiment.stopped,
        arms=arms,
        split_p_value=split,
        trouble=None if split is None or split >= MISMATCH else _trouble(experiment, counts, split),
    )


def always_valid(estimate: float, error: float, users: int, *, level: float) -> tuple[Interval, float]:
    """Return the confidence sequence of a mean, or of a difference of means, and the p-value of its being 0, by now.

    Args:
        estimate: as observed.
        error: its standard error, above 0.
        users: how many it is made of.
        level: how often, over all time, the interval leaves the truth out, at most.
    """
    spread = users * (-2 * math.log(level) + math.log(1 - 2 * math.log(level))) / NARROWEST
    half = error * math.sqrt(2 * (spread + 1) / spread * math.log(math.sqrt(spread + 1) / level))
    likely = math.sqrt(spread + 1) * math.exp(-((estimate / error) ** 2) * spread / (2 * (spread + 1)))
    return Interval(value=estimate, low=estimate - half, high=estimate + half), min(likely, 1.0)


def mismatch(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return how likely a split is at least so far from the wanted one by chance: Pearson's chi-square test.

    >>> round(mismatch([500, 600], [0.5, 0.5]), 5)
    0.00257
    """
    total, whole = sum(counts), sum(shares)
    wanted = [total * share / whole for share in shares]
    distance = sum((count - expected) ** 2 / expected for count, expected in zip(counts, wanted, strict=True))
    return float(chdtrc(len(counts) - 1, distance))


def _rate(row: Tally) -> float:
    return row.total / row.units


def _error(row: Tally) -> float:
    """Return the standard error of a rate.

    The variance is that of the users and two more, one whose rate is 0 and one whose rate is 1 (Agresti and Coull
    1998): where nobody has clicked yet it is small, and not nothing.
    """
    count, total = row.units + 2, row.total + 1
    variance = (row.squares + 1 - total * total / count) / (count - 1)
    return math.sqrt(variance / row.units)


def _trouble(experiment: Experiment, counts: Sequence[int], split: float) -> str:
    total = sum(counts)
    found = ", ".join(
        f"{arm.name} {count:,} of {total:,}, wanted {arm.share:.1%}"
        for arm, count in zip(experiment.arms, counts, strict=True)
    )
    return (
        f"the split of users is not the wanted one ({found}; chance alone does that with p = {split:.1g}), so these "
        "figures tell nothing; find out why slates of some arm go missing, and begin anew under another name."
    )
