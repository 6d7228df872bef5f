"""Flows: what a person does with Twofold from beginning to end: obtain, fit, tune, evaluate, demonstrate."""

from twofold.flows.evaluate import compare, evaluate, rank_cases, single
from twofold.flows.finetune import finetune_encoder
from twofold.flows.fit import default_recipe, fit, shipped_recipe, shipped_recipes
from twofold.flows.tune import Tune, tune

__all__ = [
    "Tune",
    "compare",
    "default_recipe",
    "evaluate",
    "finetune_encoder",
    "fit",
    "rank_cases",
    "shipped_recipe",
    "shipped_recipes",
    "single",
    "tune",
]
