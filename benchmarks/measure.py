"""How long and how much memory something takes."""

import ctypes
import ctypes.util
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Cost", "interleaved", "measured"]

PAGE = 4_096
STATM = Path("/proc/self/statm")


@dataclass(slots=True)
class Cost:
    """What a piece of work took."""

    seconds: float = 0.0
    megabytes: float = 0.0
    """Growth of the resident memory at its peak, against the start."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the work inside; the resident memory is looked at every 2 ms.

    What earlier work left free in the allocator goes back to the system first, or it would be used unseen.
    """
    gc.collect()
    if libc := ctypes.util.find_library("c"):
        getattr(ctypes.CDLL(libc), "malloc_trim", bool)(0)
    cost, start, done = Cost(), _resident(), threading.Event()
    peak = start

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    begun = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - begun
        done.set()
        watcher.join()
        cost.megabytes = (max(peak, _resident()) - start) / 1e6


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each call, one after the other in turns, so that noise hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begun)
    return {name: median(spent) for name, spent in times.items()}


def _resident() -> int:
    return int(STATM.read_text(encoding="ascii").split()[1]) * PAGE
