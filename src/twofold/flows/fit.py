"""Fit: a dataset and a recipe become a fitted pipeline."""

from collections.abc import MutableMapping
from importlib.resources import files
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.core.pipeline import Pipeline
from twofold.core.recipe import Recipe
from twofold.core.stage import Progress, Stage
from twofold.flows.tune import tune

__all__ = ["default_recipe", "fit"]


def default_recipe() -> Recipe:
    """Return the recipe that Twofold ships."""
    return Recipe.read(Path(str(files("twofold") / "recipes" / "default.toml")))


def fit(
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    rng: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    shelf: MutableMapping[str, Stage] | None = None,
) -> Pipeline:
    """Tune a recipe on a validation part of the dataset, if it has a `tune` table, and fit it on the whole.

    Args:
        dataset: what to learn from.
        recipe: what to fit; by default the one that Twofold ships.
        rng: the seed of everything random.
        threads: how many threads linear algebra may use; None leaves it as it is.
        progress: told what is being done.
        shelf: stages fitted before on the same dataset with the same seed; see `Pipeline.fit`.

    Raises:
        DataError: the dataset has no items.
    """
    if not len(dataset.items):
        raise DataError("the data hold no item, so there is nothing to fit; check the input files.")
    recipe = recipe or default_recipe()
    with threadpool_limits(threads):
        if recipe.tune:
            recipe = tune(dataset, recipe, rng=rng, progress=progress)
        return Pipeline(recipe).fit(dataset, rng=np.random.default_rng(rng), progress=progress, shelf=shelf)
