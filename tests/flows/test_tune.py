from dataclasses import replace

import numpy as np
import pytest

from twofold.core import Dataset, Weights
from twofold.core.errors import ConfigError
from twofold.data import Split, split
from twofold.evaluate import accuracy, cluster_mean
from twofold.flows import default_recipe, fit, rank_cases, tune
from twofold.flows.tune import split_of


def recipe_of(**weights: float):
    recipe = default_recipe()
    return replace(
        recipe,
        retrieve={
            "transitions": {"kind": "transitions"},
            "ease": {"kind": "ease", "reg": 20.0},
            "popular": {"kind": "popularity"},
        },
        evidence=Weights(history=weights, nothing={"popular": 1.0}),
        tune={"step": 0.25},
    )


def validation_quality(dataset: Dataset, recipe) -> float:
    train, cases = split(dataset, Split())
    pipeline = fit(train, replace(recipe, tune={}))
    rows = cases.histories.likes().lengths > 0
    cases = cases.take(rows.nonzero()[0])
    return cluster_mean(accuracy(*rank_cases(pipeline, cases), cases.targets)["ndcg@10"], cases.users)


def test_tuned_weights_are_no_worse_on_the_validation_part_than_any_start(dataset: Dataset) -> None:
    start = recipe_of(transitions=0.25, ease=0.25, popular=0.5)
    tuned = tune(dataset, start)
    weights = tuned.evidence.history
    assert sum(weights.values()) == pytest.approx(1)
    found = validation_quality(dataset, tuned)
    assert found >= validation_quality(dataset, start)
    for alone in ("transitions", "ease", "popular"):
        single = recipe_of(**{name: float(name == alone) for name in weights})
        assert found >= validation_quality(dataset, single) - 1e-9


def test_one_retriever_needs_no_tuning(dataset: Dataset) -> None:
    recipe = recipe_of(ease=0.7)
    assert tune(dataset, recipe) is recipe


def test_a_log_without_a_case_leaves_the_recipe(make_log) -> None:
    recipe = recipe_of(ease=0.5, popular=0.5)
    assert tune(make_log([[0], [1]]), recipe) is recipe


def test_a_log_without_times_is_tuned_on_each_users_last_like(dataset: Dataset) -> None:
    timeless = dataset.with_log(replace(dataset.log, timestamps=np.zeros_like(dataset.log.timestamps)))
    recipe = recipe_of(transitions=0.5, ease=0.5)
    assert split_of(recipe, timeless).kind == "leave-one-out"
    assert split_of(recipe, dataset).kind == "global-time"
    assert sum(tune(timeless, recipe).evidence.history.values()) == pytest.approx(1)


def test_an_unknown_option_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="did you mean 'step'"):
        tune(dataset, replace(recipe_of(ease=0.5, popular=0.5), tune={"steps": 0.1}))
