"""How well a student's vectors agree with its teacher's, and whether they have collapsed. Free of torch."""

import numpy as np

from twofold.core.errors import ConfigError
from twofold.core.scores import Floats

__all__ = ["alignment", "check_collapse", "likeness", "mean_cosine", "neighbour_overlap", "principal"]

SPREAD = 0.5
"""Share of the teacher's mean distance between texts (1 - cosine) that a student must keep at least."""
CHUNK = 1_024


def mean_cosine(student: Floats, teacher: Floats) -> float:
    """Return the mean cosine between vectors [n, d] and those of the same rows in another matrix [n, d]."""
    return float((_unit(student) * _unit(teacher)).sum(axis=1).mean())


def neighbour_overlap(student: Floats, teacher: Floats, k: int = 10) -> float:
    """Return the mean share of each row's k nearest rows, by cosine, that both matrices agree on, from 0 to 1.

    Dimensions may differ; where there are fewer than k other rows, all others are compared.
    """
    n = len(student)
    k = min(k, n - 1)
    if k < 1:
        return 1.0
    left, right = _unit(student), _unit(teacher)
    shared = 0
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        near = [_nearest(vectors, rows, k) for vectors in (left, right)]
        shared += int((near[0][:, :, None] == near[1][:, None, :]).sum())
    return shared / (n * k)


def _nearest(vectors: Floats, rows: np.ndarray, k: int) -> np.ndarray:
    cosines = vectors[rows] @ vectors.T
    cosines[np.arange(len(rows)), rows] = -np.inf
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def likeness(vectors: Floats) -> float:
    """Return the mean cosine of different rows: near 1 where all vectors say the same."""
    n, total = len(vectors), _unit(vectors).sum(axis=0, dtype=np.float64)
    lengths = float(np.square(_unit(vectors), dtype=np.float64).sum())
    return float((total @ total - lengths) / max(n * (n - 1), 1))


def check_collapse(student: Floats, teacher: Floats, what: str = "the student") -> None:
    """Refuse a student whose vectors lie much closer together than its teacher's of the same rows.

    Raises:
        ConfigError: its mean of `1 - cosine` between rows is below half of the teacher's, or a vector is no number.
    """
    if not np.isfinite(student).all():
        raise ConfigError(f"{what} gives vectors that are no numbers; distil it anew with a smaller lr.")
    ours, theirs = likeness(student), likeness(teacher)
    if len(student) > 1 and 1 - ours < SPREAD * (1 - theirs):
        raise ConfigError(
            f"{what} has collapsed: its vectors of different rows have a mean cosine of {ours:.2f} where the "
            f"teacher's have {theirs:.2f}; raise the weight of the relation loss, lower lr, or give more texts."
        )


def principal(vectors: Floats, dimensions: int) -> Floats:
    """Return the basis in which most of vectors' likeness stands in the leading numbers, float32 [d, dimensions].

    Its columns are the first right singular vectors of the matrix [n, d], which is not centred, so that dot
    products are kept as well as can be. The sign of a column is such that its largest number is positive.

    Raises:
        ConfigError: there are fewer than so many dimensions.
    """
    if dimensions > vectors.shape[1]:
        raise ConfigError(f"vectors of {vectors.shape[1]} numbers cannot become {dimensions} long; lower that.")
    second = np.zeros((vectors.shape[1],) * 2, np.float64)
    for start in range(0, len(vectors), CHUNK):
        part = vectors[start : start + CHUNK].astype(np.float64)
        second += part.T @ part
    _, columns = np.linalg.eigh(second)
    basis = columns[:, ::-1][:, :dimensions]
    signs = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(dimensions)])
    return np.ascontiguousarray(basis * signs, np.float32)


def alignment(student: Floats, teacher: Floats, *, penalty: float = 1.0) -> Floats:
    """Return the matrix that brings a student's vectors nearest to its teacher's, float32 [d, d].

    `argmin_M |S M - T|^2 + penalty |M - I|^2`, a ridge regression towards leaving them as they are.

    Args:
        student: S [n, d].
        teacher: T [n, d], of the same rows.
        penalty: above 0; how many rows' worth of doubt there is about a change.
    """
    second = student.T.astype(np.float64) @ student + penalty * np.eye(student.shape[1])
    first = student.T.astype(np.float64) @ teacher + penalty * np.eye(student.shape[1])
    return np.linalg.solve(second, first).astype(np.float32)


def _unit(vectors: Floats) -> Floats:
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return found
