"""What figures rest on: the machine they were measured on."""

import os
import platform
import sys
from pathlib import Path

import numpy as np

__all__ = ["machine"]

CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, str | int | float]:
    """Return what a figure of speed depends on, without any name of the host or its folders.

    Keys: `cpu` (model), `cores` (that this process may use), `memory_gib`, `python`, `numpy`, `os`; and `gpu` (model)
    where torch is in use and sees one.
    """
    torch = sys.modules.get("torch")
    gpu = {"gpu": torch.cuda.get_device_name()} if torch is not None and torch.cuda.is_available() else {}
    return {
        **gpu,
        "cpu": _cpu(),
        "cores": _cores(),
        "memory_gib": _memory(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "os": _system(),
    }


def _cpu() -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine() or "unknown"


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return 0.0


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}".strip()
