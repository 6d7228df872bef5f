"""MovieLens 1M, leave one out: the file and the protocol of the published tables of sequential models."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.recommending import compare_all
from twofold.core import Dataset, Recipe
from twofold.core.errors import DataError
from twofold.data import Split, read_dataset

__all__ = ["read_ml1m", "run"]

RECIPE = Path(__file__).parent / "recipes" / "ml1m-loo.toml"


def read_ml1m(data: Path) -> Dataset:
    """Read `ml-1m/ml-1m.txt.gz`: a user and an item a line, in the order of time within a user."""
    path = data / "ml-1m" / "ml-1m.txt.gz"
    try:
        with gzip.open(path) as stream:
            pairs = np.loadtxt(stream, dtype=np.int64)
    except OSError:
        raise DataError(f"there is no {path}; give the folder that holds ml-1m as --data.") from None
    return read_dataset(pl.DataFrame({"user": pairs[:, 0], "item": pairs[:, 1]}))


def run(data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all rows; the file has no times, so nothing is recent in it."""
    return compare_all(
        read_ml1m(data), Split(kind="leave-one-out"), say, without=("popular, recent",), whole=Recipe.read(RECIPE)
    )
