"""`rung_of`: a variant as a rung of the ladder, with what was measured of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twofold.core.ladder import Rung
from twofold.evaluate.significance import bootstrap_interval, paired_test
from twofold.flows.compress.weighing import MANY, Speed

__all__ = ["FUSED", "Values", "empty_rung", "rung_of", "size_of"]

FUSED = "fused.onnx"
"""A body's graph with fused attention, beside the plain one; no part of a rung."""

Values = npt.NDArray[np.float64]
"""Quality of each case."""


def rung_of(base: Rung, folder: Path, speed: Speed, cases: Values, teacher: Values, *, seed: int) -> Rung:
    """Return a rung with what was measured.

    Args:
        base: its name, and what else is known.
        folder: the rung's own, two levels below that of the ladder.
        speed: of one row and of many, in turns with the teacher.
        cases: its quality in each case, [c].
        teacher: the teacher's, [c].
        seed: of the interval and the test.
    """
    low, high = bootstrap_interval(cases, rng=seed)
    return replace(
        base,
        quality=float(cases.mean()),
        quality_low=low,
        quality_high=high,
        kept=float(cases.mean() / teacher.mean()) if teacher.mean() else None,
        p_value=paired_test(cases, teacher, rng=seed).p_value,
        milliseconds=speed.one.median * 1000,
        slow_milliseconds=speed.one.p99 * 1000,
        rate=MANY / speed.many.median,
        speedup=speed.speedup,
        rate_gain=speed.gain,
        bytes=size_of(folder),
        folder=folder.relative_to(folder.parent.parent).as_posix(),
    )


def size_of(folder: Path) -> int:
    """Return the bytes of what a rung needs."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != FUSED)


def empty_rung(name: str) -> Rung:
    """Return a rung of which nothing is known yet."""
    return Rung(name=name, quality=float("nan"), milliseconds=float("nan"), bytes=0)
