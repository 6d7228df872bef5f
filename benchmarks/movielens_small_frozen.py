"""MovieLens ml-latest-small, split at one moment, histories ending there: what a nightly batch would know."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.recommending import compare_all
from twofold.data import Split, read_data
from twofold.flows import shipped_recipe

__all__ = ["run"]


def run(data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all rows; a user is one case, and two thirds of the test users are new."""
    return compare_all(
        read_data(data / "ml-latest-small"), Split(history="frozen"), say, whole=shipped_recipe("language")
    )
