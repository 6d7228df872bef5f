"""`Scaling`: how many workers a server wants by what they do, logic alone; and what a process did, from `/proc`."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Scaling", "wanted_seconds"]

FULL, FULL_SECONDS = 0.75, 3.0
"""The share of a core that each worker wants on average, and for how long, before there is one more."""
CALM, CALM_SECONDS = 0.5, 60.0
"""The share of a core that each would want were there one less, and for how long, before there is one less: well below
`FULL`, so that one that comes does not soon go, and patient, since a worker takes seconds to start."""


@dataclass(slots=True)
class Scaling:
    """Decides when one more worker begins or one ends.

    A worker reads requests and answers them in Python, so that it takes a core at most where no network is run.
    """

    least: int
    most: int
    _since: float | None = None
    """From when on the workers were full, or calm."""
    _sign: int = 0

    def change(self, count: int, busy: float, now: float) -> int:
        """Return 1 where there should be one more, -1 where one less, else 0.

        Args:
            count: how many workers there are.
            busy: cores that all together took or waited for, on average since the last call.
            now: seconds that only rise.

        >>> scaling = Scaling(least=1, most=2)
        >>> [scaling.change(1, 0.9, now) for now in (0, 2, 4)], [scaling.change(2, 0.3, now) for now in (10, 50, 71)]
        ([0, 0, 1], [0, 0, -1])
        """
        sign = 0
        if count < self.most and busy > FULL * count:
            sign = 1
        elif count > self.least and busy < CALM * (count - 1):
            sign = -1
        if sign != self._sign or not sign:
            self._sign, self._since = sign, now if sign else None
            return 0
        assert self._since is not None
        if now - self._since < (FULL_SECONDS if sign > 0 else CALM_SECONDS):
            return 0
        self._sign, self._since = 0, None
        return sign


def wanted_seconds(process: int, proc: Path = Path("/proc")) -> float:
    """Return for how long the threads of a process ran, or would have were a processor free; 0 where that is not told.

    On a busy machine what a process gets says little about what it needs. Source: Linux, `Documentation/scheduler/
    sched-stats.rst`: nanoseconds on a processor and on a run queue.
    """
    total = 0
    for file in proc.glob(f"{process}/task/*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # a thread may end meanwhile
            total += sum(map(int, file.read_text().split()[:2]))
    return total / 1e9
