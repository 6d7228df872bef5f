"""Fit: a dataset and a recipe become a fitted pipeline."""

from collections.abc import MutableMapping
from importlib.resources import files
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, DataError, nearest
from twofold.core.pipeline import Pipeline
from twofold.core.recipe import Recipe
from twofold.core.stage import Progress, Stage
from twofold.flows.tune import tune

__all__ = ["default_recipe", "fit", "shipped_recipe", "shipped_recipes"]


RECIPES = Path(str(files("twofold") / "recipes"))


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that Twofold ships."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def shipped_recipe(name: str) -> Recipe:
    """Return a recipe that Twofold ships.

    Raises:
        ConfigError: there is no recipe of that name.
    """
    if name not in shipped_recipes():
        raise ConfigError(f"no recipe {name!r} is shipped; {nearest(name, shipped_recipes())}")
    return Recipe.read(RECIPES / f"{name}.toml")


def default_recipe() -> Recipe:
    """Return the recipe that is fitted where none is named."""
    return shipped_recipe("default")


def fit(
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    rng: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    shelf: MutableMapping[str, Stage] | None = None,
    older: MutableMapping[str, Stage] | None = None,
) -> Pipeline:
    """Tune a recipe on held-out parts of the dataset, if it has a `tune` table, and fit it on the whole.

    Args:
        dataset: what to learn from.
        recipe: what to fit; by default the one that Twofold ships.
        rng: the seed of everything random.
        threads: how many threads linear algebra may use; None leaves it as it is.
        progress: told what is being done.
        shelf: stages fitted before on the same dataset with the same seed; see `Pipeline.fit`.
        older: stages fitted before with the same seed on its older part, as for `evaluate`.

    Raises:
        DataError: the dataset has no items.
    """
    if not len(dataset.items):
        raise DataError("the data hold no item, so there is nothing to fit; check the input files.")
    recipe = recipe or default_recipe()
    with threadpool_limits(threads):
        shelf = {} if shelf is None else shelf
        if recipe.tune:
            recipe = tune(dataset, recipe, rng=rng, progress=progress, shelf=shelf, older=older)
        return Pipeline(recipe).fit(dataset, rng=np.random.default_rng(rng), progress=progress, shelf=shelf)
