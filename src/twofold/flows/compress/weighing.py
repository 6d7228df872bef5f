"""Weigh a variant: time in turns with the teacher and its parent, and what must hold before quality is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from twofold.compress.measure import Rounds, Timing, in_turns, steadiness
from twofold.compress.runtime import Feed, Runtime, open_runtime
from twofold.flows.compress.subject import Network, Subject

__all__ = ["MANY", "QUICK", "THOROUGH", "Pace", "Scales", "Speed", "steady_enough"]

MANY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How thoroughly time is measured."""

    one: Rounds
    many: Rounds


QUICK = Pace(one=Rounds(seconds=2.0, least=10), many=Rounds(seconds=4.0, least=2, warm=1))
"""While searching."""
THOROUGH = Pace(one=Rounds(seconds=8.0, most=400, least=100), many=Rounds(seconds=20.0, most=30, least=5))
"""For the rungs of the ladder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast something is, and how much faster than the teacher in the same turns."""

    one: Timing
    many: Timing
    speedup: float
    gain: float

    @property
    def score(self) -> float:
        """By which a runtime is chosen: the geometric mean of both."""
        return float((self.speedup * self.gain) ** 0.5)


class Scales:
    """What times variants of one subject.

    Args:
        subject: whose.
        source: the folder of the teacher's own body, which stands for the teacher where there is none in torch.
        threads: for a batch of one; a full batch is measured with one thread, or as asked.
    """

    def __init__(self, subject: Subject, source: Path, threads: int) -> None:
        self.subject, self.source, self.threads = subject, source, threads

    def teacher(self, threads: int) -> Network:
        """Return what everything is compared with."""
        return self.subject.teacher(threads) or self.open(self.source, "onnxruntime", threads)

    def open(self, folder: Path, runtime: str, threads: int) -> Runtime:
        """Open a folder with a runtime."""
        return open_runtime(folder, runtime, output=self.subject.output, threads=threads)

    def usable(self, folder: Path, runtimes: Sequence[str]) -> dict[str, str]:
        """Return which of some runtimes cannot run a folder, and why; a batch is tried."""
        failed = {}
        for runtime in runtimes:
            try:
                self.open(folder, runtime, 1)(self.subject.feeds("one", folder)[0])
            except Exception as error:  # each library raises classes of its own
                failed[runtime] = " ".join(str(error).split())[:200]
        return failed

    def weigh(self, rivals: Mapping[str, tuple[Path, str]], pace: Pace, *, threads: int = 1) -> dict[str, Speed]:
        """Time some folders with their runtimes, and the teacher, in turns.

        Args:
            rivals: folder and runtime by name; "teacher" is there without being named.
            pace: how thoroughly.
            threads: for a full batch.
        """
        one = self._timed(rivals, "one", self.threads, pace.one)
        many = self._timed(rivals, "many", threads, pace.many)
        return {
            name: Speed(
                one=one[name],
                many=many[name],
                speedup=one[name].ratio(one["teacher"]),
                gain=many[name].ratio(many["teacher"]),
            )
            for name in one
        }

    def _timed(
        self, rivals: Mapping[str, tuple[Path, str]], use: Any, threads: int, rounds: Rounds
    ) -> dict[str, Timing]:
        calls: dict[str, Callable[[], Any]] = {
            "teacher": _calls(self.teacher(threads), self.subject.feeds(use, self.source))
        }
        for name, (folder, runtime) in rivals.items():
            calls[name] = _calls(self.open(folder, runtime, threads), self.subject.feeds(use, folder))
        return in_turns(calls, rounds)


def _calls(network: Network, feeds: Sequence[Feed]) -> Callable[[], Any]:
    """Return a call that runs the next of some batches, and then the first again."""
    return partial(_next, network, cycle(feeds))


def _next(network: Network, feeds: Any) -> Any:
    return network(next(feeds))


def steady_enough(network: Network, feed: Feed, least: float) -> str:
    """Return why a network is refused whose rows depend on their batch, or "" where they do not."""
    found = steadiness(network, feed)
    if found >= least:
        return ""
    return f"what it says of a row depends on the others in the batch (cosine down to {found:.4f}, at least {least})"
