"""What a rung costs: time beside the teacher's, measured in turns, and memory, measured in a fresh process.

A machine that others use slows down and speeds up by the minute. So whatever is compared runs in turns, one call
each, and what is told first is a ratio: the median over the turns of one's time over the other's in the same turn.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.compress.runtime import Feed
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats

__all__ = ["Rounds", "Timing", "in_turns", "memory_of", "parity", "steadiness"]

Network = Callable[[Feed], Floats]
SIZES = (1, 2, 31, 32, 33)
"""Batches in which the same rows must come out alike: around powers of two, where kernels change."""
MEMORY_SECONDS = 300
TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How long something is timed. The first that is reached ends it, but no earlier than `least`."""

    seconds: float = 3.0
    """Time for all, the warming up left out."""
    most: int = 200
    """Turns."""
    least: int = 5
    """Turns that are taken however long they last."""
    warm: int = 2
    """Turns before, which are not counted."""

    def __post_init__(self) -> None:
        if self.seconds <= 0 or not 1 <= self.least <= self.most or self.warm < 0:
            raise ValueError("timing wants seconds above 0, 1 <= least <= most, and warm of 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the calls of one thing took."""

    seconds: tuple[float, ...]
    """Of each turn, in order."""

    @property
    def median(self) -> float:
        """Seconds of the middle turn."""
        return median(self.seconds)

    @property
    def p99(self) -> float:
        """Seconds that 99 of 100 turns stay below; of fewer turns than 100, the slowest."""
        return float(np.quantile(self.seconds, 0.99, method="higher"))

    def ratio(self, other: "Timing") -> float:
        """Return how many times as fast as another it is: the median over the turns that both took.

        >>> Timing(seconds=(1.0, 2.0, 1.0)).ratio(Timing(seconds=(3.0, 8.0, 3.0)))
        3.0
        """
        return median(theirs / max(own, TINY) for own, theirs in zip(self.seconds, other.seconds, strict=True))


def in_turns(
    calls: Mapping[str, Callable[[], Any]], rounds: Rounds, *, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """Time several things, one call of each in turns, each turn beginning with the next one.

    Args:
        calls: what is timed, by name.
        rounds: how long.
        clock: seconds that only rise.
    """
    names = list(calls)
    for _ in range(rounds.warm):
        for name in names:
            calls[name]()
    found: dict[str, list[float]] = {name: [] for name in names}
    begun = clock()
    for turn in range(rounds.most):
        if turn >= rounds.least and clock() - begun >= rounds.seconds:
            break
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            start = clock()
            calls[name]()
            found[name].append(clock() - start)
    return {name: Timing(seconds=tuple(seconds)) for name, seconds in found.items()}


def parity(network: Network, reference: Network, feeds: Sequence[Feed]) -> float:
    """Return how alike two networks' outputs are in the worst row of all batches.

    Args:
        network: gives float [b, …].
        reference: what it should give.
        feeds: batches, short and long, small and large.

    Returns:
        The lowest cosine of a row with its own; for outputs of one number, 1 less the largest difference
        over the reference's standard deviation.
    """
    pairs = [(_rows(network(feed)), _rows(reference(feed))) for feed in feeds]
    return _alike(np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs]))


def steadiness(network: Network, feed: Feed, sizes: Sequence[int] = SIZES) -> float:
    """Return how alike a network's outputs are when the same rows come in batches of other sizes, in the worst row.

    A network whose activations are quantised by the range of the batch gives a text another vector beside other
    texts; its mean cosine hides that.

    Args:
        network: gives float [b, …].
        feed: at least two rows.
        sizes: of batches; compared with the rows one at a time.
    """
    count = len(next(iter(feed.values())))
    alone = _batched(network, feed, count, 1)
    return min(_alike(_batched(network, feed, count, size), alone) for size in sizes if size > 1)


def _batched(network: Network, feed: Feed, count: int, size: int) -> npt.NDArray[np.float64]:
    parts = [
        _rows(network({name: value[start : start + size] for name, value in feed.items()}))
        for start in range(0, count, size)
    ]
    return np.concatenate(parts)


def _rows(output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(output, np.float64).reshape(len(output), -1)


def _alike(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    if one.shape != other.shape:
        raise ConfigError(f"two networks that should agree give {one.shape} and {other.shape}; compare like with like.")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return -1.0
    if one.shape[1] == 1:
        return float(1 - np.abs(one - other).max() / max(float(other.std()), TINY))
    left, right = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(axis=1) / np.maximum(left * right, TINY)
    return float(np.where((left < TINY) & (right < TINY), 1.0, cosines).min())  # an empty text has zeros in both


def memory_of(folder: Path, runtime: str, *, output: str, feed: Feed, threads: int = 1) -> int:
    """Return how many resident bytes a fresh process has more after opening and running a rung than before.

    The libraries are imported before, so that what counts is the rung: a server that holds several pays for the
    libraries once.

    Args:
        folder: the rung's.
        runtime: what runs it.
        output: which output.
        feed: one batch.
        threads: for the batch.

    Raises:
        ConfigError: the process failed.
    """
    about = {
        "folder": str(folder),
        "runtime": runtime,
        "output": output,
        "threads": threads,
        "feed": {name: [str(value.dtype), value.tolist()] for name, value in feed.items()},
    }
    command = [sys.executable, "-m", "twofold.compress.resident"]
    try:
        done = subprocess.run(  # noqa: S603  our own module, with nothing of the caller's on the command line
            command,
            input=json.dumps(about),
            capture_output=True,
            text=True,
            timeout=MEMORY_SECONDS,
            check=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        return int(done.stdout.strip().splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
        told = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
        raise ConfigError(f"the memory of {folder} could not be measured ({' '.join(told)}); try again.") from error
