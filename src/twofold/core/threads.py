"""How many threads this process may use: by its CPU affinity and the quota of its control group, not by the host."""

import os
from pathlib import Path

__all__ = ["available_threads"]

MEMBERSHIP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available_threads(membership: Path = MEMBERSHIP, groups: Path = GROUPS) -> int:
    """Return how many threads can run at once: the cores of the affinity mask, and no more than the quota pays for.

    A container with a quota of 1.5 cores gets 1 thread: two would be stopped for a quarter of the time, and the one
    that is stopped holds up the other.

    Args:
        membership: names the control groups of this process, as `/proc/self/cgroup` does.
        groups: where control groups are mounted; version 2 (`cpu.max`) and 1 (`cpu.cfs_quota_us`) are read.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(membership, groups), default=float(cores))
    return max(1, min(cores, int(quota)))


def _quotas(membership: Path, groups: Path) -> list[float]:
    """Return the quotas that hold for this process, in cores: its group's and those of the groups around it."""
    found = []
    for line in (_read(membership) or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [groups] if not controllers else [groups / controllers, groups / "cpu"]
        for root in roots:
            inner = Path(path.lstrip("/"))
            for folder in [root / inner, *(root / above for above in inner.parents)]:
                quota = _quota(folder)
                if quota is not None:
                    found.append(quota)
    return found


def _quota(folder: Path) -> float | None:
    """Return the quota that a group's files give, or nothing where they give none."""
    both = _read(folder / "cpu.max")
    if both is None:
        both = f"{_read(folder / 'cpu.cfs_quota_us') or ''} {_read(folder / 'cpu.cfs_period_us') or ''}"
    try:
        quota, period = map(int, both.split())
    except ValueError:  # "max", or nothing
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
