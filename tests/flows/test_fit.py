from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twofold.core import Dataset, Stage
from twofold.core.errors import ConfigError
from twofold.flows import default_recipe, evaluate, fit, shipped_recipe, shipped_recipes, single
from twofold.models.ease import EASE


def test_a_stage_is_fitted_once_for_all_that_share_it(dataset: Dataset) -> None:
    shelf: dict[str, Stage] = {}
    recipe = replace(default_recipe(), tune={})
    first = fit(dataset, recipe, shelf=shelf)
    alone = fit(dataset, single("alone", recipe.retrieve["ease"], recipe), shelf=shelf)
    assert alone.retrievers["alone"] is first.retrievers["ease"]
    assert first.retrievers["ease"].seconds > 0
    assert set(alone.keys.values()) <= set(first.keys.values())


def test_what_a_stage_learns_does_not_depend_on_the_rest_of_the_recipe(dataset: Dataset) -> None:
    recipe = replace(default_recipe(), tune={})
    als = {"kind": "als", "factors": 4, "threads": 1}
    more = replace(recipe, retrieve={"als": als, **recipe.retrieve})
    alone = fit(dataset, single("alone", als, recipe), rng=5)
    among = fit(dataset, more, rng=5)
    assert np.array_equal(alone.retrievers["alone"].vectors, among.retrievers["als"].vectors)  # type: ignore[attr-defined]


def test_only_what_is_needed_is_fitted() -> None:
    recipe = single("alone", {"kind": "transitions"}, default_recipe())
    assert set(recipe.retrieve) == {"alone", *default_recipe().evidence.nothing}


def test_recipes_are_found_by_name() -> None:
    assert "default" in shipped_recipes()
    assert shipped_recipe("default") == default_recipe()
    with pytest.raises(ConfigError, match="did you mean 'default'"):
        shipped_recipe("defalt")


def test_what_an_evaluation_fitted_on_the_older_part_is_not_fitted_again(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    older: dict[str, Stage] = {}
    evaluate(dataset, default_recipe(), older=older)
    sizes: list[int] = []
    learn = EASE.fit

    def counted(self: EASE, part: Dataset, **more: Any) -> EASE:
        sizes.append(len(part.log.items))
        return learn(self, part, **more)

    monkeypatch.setattr(EASE, "fit", counted)
    tuned = fit(dataset, default_recipe(), older=older)
    assert sizes == [len(dataset.log.items)]
    monkeypatch.undo()
    assert tuned.recipe == fit(dataset, default_recipe()).recipe
