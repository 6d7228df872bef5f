"""What `memory_of` runs in a process of its own: open a rung, run one batch, and print the bytes that took."""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from twofold.compress.runtime import open_runtime

__all__ = ["main"]

STATUS = Path("/proc/self/status")


def main(about: dict[str, Any]) -> int:
    """Return the resident bytes that opening and running a rung takes; see `twofold.compress.measure.memory_of`."""
    if about["runtime"].startswith("openvino"):
        import openvino  # noqa: PLC0415  counted among what was there before

        openvino.Core()
    feed = {name: np.array(value, dtype) for name, (dtype, value) in about["feed"].items()}
    gc.collect()
    before = _resident()
    network = open_runtime(
        Path(about["folder"]), about["runtime"], output=about["output"], threads=int(about["threads"])
    )
    network(feed)
    return _resident() - before


def _resident() -> int:
    """Return the resident bytes of this process now; where the system does not tell, the most it ever had."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        import resource  # noqa: PLC0415  not on every system

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.stdout.write(f"{main(json.load(sys.stdin))}\n")
