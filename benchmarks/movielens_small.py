"""MovieLens ml-latest-small, split at one moment for all users."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.recommending import compare_all
from twofold.data import Split, read_data
from twofold.flows import shipped_recipe

__all__ = ["run"]


def run(data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all rows on the newest tenth of the events, histories rolling on."""
    return compare_all(read_data(data / "ml-latest-small"), Split(), say, whole=shipped_recipe("language"))
