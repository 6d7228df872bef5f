"""Amazon Beauty, leave one out: short histories, many items, titles; the file of the published tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.recommending import compare_all
from twofold.core import Dataset, Recipe
from twofold.core.errors import DataError
from twofold.data import Split, read_dataset

__all__ = ["read_beauty", "run"]

RECIPE = Path(__file__).parent / "recipes" / "beauty-loo.toml"


def read_beauty(data: Path) -> Dataset:
    """Read `amazon-beauty/Beauty.txt`, a user and their items in the order of time a line, and the items' titles."""
    folder = data / "amazon-beauty"
    try:
        lines = [line.split() for line in (folder / "Beauty.txt").read_text(encoding="ascii").splitlines()]
        titles = pl.read_csv(folder / "Beauty_items_derived.csv", columns=["s3rec_item", "title"])
    except OSError:
        raise DataError(f"there is no {folder}; give the folder that holds amazon-beauty as --data.") from None
    counts = [len(line) - 1 for line in lines]
    users = np.repeat([int(line[0]) for line in lines], counts)
    items = np.array([int(item) for line in lines for item in line[1:]])
    return read_dataset(pl.DataFrame({"user": users, "item": items}), titles.rename({"s3rec_item": "item"}))


def run(data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all rows; the file has no times, so nothing is recent in it."""
    slow = "LensKit EASE"  # inverts items x items several times
    return compare_all(
        read_beauty(data),
        Split(kind="leave-one-out"),
        say,
        without=("popular, recent", slow),
        whole=Recipe.read(RECIPE),
    )
