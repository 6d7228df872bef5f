"""Flows: what a person does with Twofold from beginning to end: obtain, fit, tune, evaluate, demonstrate."""

from twofold.flows.evaluate import compare, evaluate, rank_cases, single
from twofold.flows.fit import default_recipe, fit
from twofold.flows.tune import Tune, tune

__all__ = ["Tune", "compare", "default_recipe", "evaluate", "fit", "rank_cases", "single", "tune"]
