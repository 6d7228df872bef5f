"""MovieLens 1M, leave one out, with a larger network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.ml1m_loo import read_ml1m
from benchmarks.recommending import measure_recipe
from twofold.core import Recipe
from twofold.data import Split

__all__ = ["run"]

RECIPE = Path(__file__).parent / "recipes" / "ml1m-large.toml"


def run(data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the recipe and its sequential model alone."""
    return measure_recipe(read_ml1m(data), Split(kind="leave-one-out"), say, Recipe.read(RECIPE))
