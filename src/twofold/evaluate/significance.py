"""How sure a mean and a difference of means are: bootstrap intervals and paired randomisation tests.

Where one user has several cases, the cases of a user are no independent evidence: the mean is the mean
over users of each user's mean, and users are what is resampled.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile intervals).
Smucker, Allan and Carterette, A comparison of statistical significance tests for information
retrieval evaluation, CIKM 2007 (the randomisation test).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "PairedResult",
    "bootstrap_interval",
    "bootstrap_intervals",
    "cluster_mean",
    "cluster_means",
    "holm",
    "paired_test",
    "ratio_interval",
]

Values = npt.NDArray[np.float64]
Clusters = npt.NDArray[np.integer]
Rng = np.random.Generator | int

CELLS = 1 << 20
"""So many numbers are drawn at a time, to keep memory small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """A difference of two means on the same cases."""

    difference: float
    """Mean of the first minus mean of the second."""
    low: float
    """Lower end of the bootstrap interval of the difference."""
    high: float
    """Upper end."""
    p_value: float
    """Two-sided: how often chance alone gives a difference at least so large."""


def cluster_means(values: npt.ArrayLike, clusters: Clusters | None = None) -> Values:
    """Return the mean of each cluster, by rising cluster number; the values themselves without clusters.

    Args:
        values: one number a case, shape [c], or several, shape [c, m].
        clusters: the user of each case, any integers, shape [c].

    Raises:
        ValueError: there is no value, one is not finite, or the shapes differ.

    >>> cluster_means([1.0, 0.0, 0.5], np.array([7, 7, 3])).tolist()
    [0.5, 0.5]
    """
    array = np.asarray(values, np.float64)
    if not len(array) or not np.isfinite(array).all():
        raise ValueError("a mean needs at least one value, and only finite ones")
    if clusters is None:
        return array
    if clusters.shape != array.shape[:1]:
        raise ValueError(f"{len(clusters)} clusters do not align with {len(array)} values")
    _, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if len(sizes) == len(array):
        return array[np.argsort(inverse)]
    sums = np.zeros((len(sizes), *array.shape[1:]))
    np.add.at(sums, inverse, array)
    return sums / sizes.reshape(-1, *(1,) * (array.ndim - 1))


def cluster_mean(values: npt.ArrayLike, clusters: Clusters | None = None) -> float:
    """Return the mean over clusters of each cluster's mean (macro average).

    >>> cluster_mean([1.0, 1.0, 1.0, 0.0], np.array([1, 1, 1, 2]))
    0.5
    """
    return float(cluster_means(values, clusters).mean())


def bootstrap_interval(
    values: npt.ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
    rng: Rng = 0,
) -> tuple[float, float]:
    """Return a percentile bootstrap interval of the mean (of `cluster_mean`, where there are clusters).

    Args:
        values: one number a case, shape [c].
        clusters: the user of each case; whole users are resampled.
        level: how often such an interval holds the true mean.
        resamples: how many samples are drawn, with replacement.
        rng: seed or generator.

    Raises:
        ValueError: as `cluster_means`, or the level is not between 0 and 1, or `resamples` is below 1.
    """
    table = np.asarray(values, np.float64).reshape(-1, 1)
    low, high = bootstrap_intervals(table, clusters=clusters, level=level, resamples=resamples, rng=rng)
    return float(low[0]), float(high[0])


def bootstrap_intervals(
    values: npt.ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
    rng: Rng = 0,
) -> tuple[Values, Values]:
    """Return the intervals of many means on the same cases at once; see `bootstrap_interval`.

    Args:
        values: shape [c, m].
        clusters: the user of each case.
        level: how often such an interval holds the true mean.
        resamples: how many samples are drawn; the same for all columns.
        rng: seed or generator.

    Returns:
        Lower and upper ends, shape [m] each.

    Raises:
        ValueError: as `bootstrap_interval`.
    """
    _check(level, resamples)
    means = _resampled_means(cluster_means(values, clusters), resamples, rng)
    low, high = np.quantile(means, _tails(level), axis=0)
    return low, high


def ratio_interval(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    resamples: int = 2_000,
    rng: Rng = 0,
) -> tuple[float, float]:
    """Return a bootstrap interval of mean(a) / mean(b), both on the same cases.

    A resample in which b is 0 throughout counts as infinite.

    Raises:
        ValueError: as `bootstrap_interval`, or the mean of b is 0.
    """
    _check(level, resamples)
    pair = cluster_means(_pair(a, b), clusters)
    if pair[:, 1].mean() == 0:
        raise ValueError("the ratio to a mean of 0 says nothing; compare by difference")
    above, below = _resampled_means(pair, resamples, rng).T
    ratios = np.divide(above, below, out=np.full(resamples, np.inf), where=below != 0)
    low, high = np.quantile(ratios, _tails(level), method="nearest")
    return float(low), float(high)


def paired_test(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    rng: Rng = 0,
) -> PairedResult:
    """Test whether two systems differ on the same cases: a two-sided paired randomisation test.

    Under the null hypothesis the sign of each case's (each user's mean) difference is a coin's. The p-value
    is the share of sign patterns whose mean difference is at least as large as the observed one: of all
    patterns where there are at most `resamples`, else `(1 + count) / (1 + resamples)` of drawn ones.

    Args:
        a: one number a case, shape [c].
        b: the other system's, shape [c].
        clusters: the user of each case.
        level: of the interval of the difference.
        resamples: how many sign patterns are drawn.
        rng: seed or generator.

    Raises:
        ValueError: as `bootstrap_interval`, or the shapes differ.

    >>> paired_test([1.0, 0.5, 0.3], [0.0, 0.0, 0.0]).p_value  # of 8 patterns, +++ and ---
    0.25
    """
    _check(level, resamples)
    generator = np.random.default_rng(rng)
    pair = _pair(a, b)
    differences = cluster_means(pair[:, 0] - pair[:, 1], clusters)
    p_value = _sign_flips(differences[differences != 0], resamples, generator)
    low, high = bootstrap_interval(differences, level=level, rng=generator)
    return PairedResult(difference=float(differences.mean()), low=low, high=high, p_value=p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several, by Holm's step-down rule (Scand. J. Statist. 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    stepped = np.minimum(np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors), 1.0)
    corrected = np.empty(len(order))
    corrected[order] = stepped
    return [float(p) for p in corrected]


def _check(level: float, resamples: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"an interval wants a level between 0 and 1 and resamples >= 1, not {level} and {resamples}")


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _pair(a: npt.ArrayLike, b: npt.ArrayLike) -> Values:
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"the two systems were measured on other cases: {left.shape} and {right.shape}")
    return np.stack((left, right), axis=1)


def _resampled_means(values: Values, resamples: int, rng: Rng) -> Values:
    """Return the column means of samples drawn with replacement from the rows, shape [resamples, m]."""
    generator, size = np.random.default_rng(rng), len(values)
    means = np.empty((resamples, values.shape[1]))
    step = max(1, CELLS // size)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = generator.integers(size, size=(count, size), dtype=np.int32).astype(np.int64)
        drawn += np.arange(count)[:, None] * size
        counts = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
        means[start : start + count] = counts.astype(np.float64) @ values
    return means / size


def _sign_flips(differences: Values, resamples: int, generator: np.random.Generator) -> float:
    """Return the p-value of the sum of differences, none of which is 0, against random signs."""
    size, total = len(differences), differences.sum()
    limit = abs(total) - 1e-9 * np.abs(differences).sum()
    if 2**size <= resamples:
        patterns = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
        return float((np.abs(2 * (patterns @ differences) - total) >= limit).mean())
    reached, step = 0, max(1, CELLS // size)
    for start in range(0, resamples, step):
        shape = (min(step, resamples - start), -(-size // 8))
        bits = np.unpackbits(generator.integers(256, size=shape, dtype=np.uint8), axis=1, count=size)
        reached += int((np.abs(2 * (bits.astype(np.float64) @ differences) - total) >= limit).sum())
    return (1 + reached) / (1 + resamples)
