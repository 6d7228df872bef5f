"""Evaluate: fit recipes on one part of a dataset and measure them on the other, all in the same way."""

import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.core.ids import Codes
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch, Query
from twofold.core.recipe import Recipe, Weights
from twofold.core.scores import Floats
from twofold.core.stage import Progress, Stage
from twofold.data import Cases, protocol, split
from twofold.evaluate import Row, Table, accuracy, beyond, machine, slices
from twofold.flows.fit import default_recipe, fit
from twofold.flows.tune import catalogue_stages, split_of

__all__ = ["compare", "evaluate", "rank_cases", "single"]

CHUNK = 512
DEPTH = 60
"""Places of a ranking that are kept: the largest cut-off of 20, and room to break ties against the model."""
TIMED = 50
"""Single queries timed for the latency of a system."""

RECENT = "popular, last week"
BASELINES: dict[str, dict[str, object]] = {
    "popular": {"kind": "popularity"},
    RECENT: {"kind": "popularity", "half_life_days": 7.0},
    "item-knn": {"kind": "item-knn"},
    "ease": {"kind": "ease"},
}
"""Plain systems that stand in every table."""


def evaluate(
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    rng: int = 0,
    progress: Progress | None = None,
    shelf: MutableMapping[str, Stage] | None = None,
    older: MutableMapping[str, Stage] | None = None,
) -> Table:
    """Measure a recipe beside its own retrievers and plain baselines, on held-out data.

    The dataset is split by `split_of`; every system is fitted on the older part and asked the
    same cases. A system without an opinion, as for a user without a history, falls back on what the
    recipe answers to no evidence, so that no system wins by its fallback.

    Args:
        dataset: all data.
        recipe: what to measure; by default the one that `fit` takes.
        rng: the seed of everything random.
        progress: told what is being done.
        shelf: stages fitted before with the same seed; those that learned from the same catalogue alone are shared,
            and such are added.
        older: stages fitted before with the same seed on the older part; what is fitted now is added.
    """
    recipe = recipe or default_recipe()
    options = split_of(recipe, dataset)
    train, cases = split(dataset, options)
    answering = {name: recipe.retrieve[name] for name in recipe.evidence.history}
    systems = {name: single(name, stage, recipe) for name, stage in {**BASELINES, **answering}.items()}
    systems[f"{recipe.name} (fused)"] = recipe
    card = {**protocol(options, dataset, cases), "candidates": "all items", "seen items": "removed", "seed": rng}
    shelf = {} if shelf is None else shelf
    older = {} if older is None else older
    older.update(catalogue_stages(shelf))
    table = compare(train, cases, systems, card=card, rng=rng, progress=progress, shelf=older)
    shelf.update(catalogue_stages(older))
    return table


def single(name: str, stage: Mapping[str, object], recipe: Recipe) -> Recipe:
    """Return a recipe that answers a history with one stage alone, and nothing as another recipe does."""
    return replace(
        recipe,
        name=name,
        rank={},
        retrieve={**recipe.retrieve, "alone": dict(stage)},
        evidence=Weights(history={"alone": 1.0}, nothing=recipe.evidence.nothing),
        tune={},
    ).needed()


def compare(
    train: Dataset,
    cases: Cases,
    systems: Mapping[str, Recipe],
    *,
    card: Mapping[str, object],
    rng: int = 0,
    progress: Progress | None = None,
    shelf: MutableMapping[str, Stage] | None = None,
) -> Table:
    """Fit recipes on a dataset and measure them on the same cases.

    Args:
        train: what systems may see; holds no target of a case.
        cases: what is asked and what should be found.
        systems: name of a row to its recipe.
        card: what the numbers rest on, for the protocol.
        rng: the seed of everything random.
        progress: told what is being done.
        shelf: stages fitted before on the same dataset with the same seed; see `Pipeline.fit`.

    Raises:
        DataError: there is no case to measure.
    """
    if not len(cases):
        raise DataError("nobody likes anything in the held-out part, so nothing can be measured; give more events.")
    rows = []
    shelf = {} if shelf is None else shelf
    for done, (name, recipe) in enumerate(systems.items()):
        if progress:
            progress(f"evaluate: {name}", done, len(systems))
        begun = time.perf_counter()
        before = dict(shelf)
        pipeline = fit(train, recipe, rng=rng, shelf=shelf)
        shared = sum(before[key].seconds for key in before.keys() & set(pipeline.keys.values()))
        seconds = time.perf_counter() - begun + shared
        costs = {"fit seconds": seconds, "ms a query": latency(partial(query_of, pipeline), cases)}
        rows.append(row_of(name, rank_cases(pipeline, cases), train, cases, costs))
    if progress:
        progress("evaluate", len(systems), len(systems))
    about = {**card, "ties": "against the model", "data": train.fingerprint(), "machine": machine()}
    baseline = RECENT if RECENT in systems else None
    return Table(rows=rows, protocol=about, clusters=cases.users, baseline=baseline)


def row_of(name: str, ranking: tuple[Codes, Floats], train: Dataset, cases: Cases, costs: Mapping[str, float]) -> Row:
    """Return a row of a table: all that is measured of rankings (items and scores [c, d]) of the same cases."""
    items, scores = ranking
    users = cases.users
    return Row(
        name=name,
        metrics=accuracy(items, scores, cases.targets),
        beyond=beyond(items, train, cases.histories, clusters=users),
        slices=slices(items, scores, cases.targets, cases.histories, train.item_counts, clusters=users),
        extra=costs,
    )


def rank_cases(pipeline: Pipeline, cases: Cases, depth: int = DEPTH) -> tuple[Codes, Floats]:
    """Return a fitted pipeline's rankings of all cases: items and scores [c, depth], what was seen removed."""
    items = np.full((len(cases), depth), -1, np.int32)
    scores = np.full((len(cases), depth), -np.inf, np.float32)
    for rows, part in cases.parts(CHUNK):
        recent = part.histories.last(pipeline.recipe.recent)
        found = pipeline.rank(Batch.of_histories(recent, part.allowed(len(pipeline.dataset.items))), depth)
        items[rows, : found.items.shape[1]] = found.items
        scores[rows, : found.items.shape[1]] = found.scores
    return items, scores


def latency(prepare: Callable[[Cases], Callable[[], object]], cases: Cases) -> float:
    """Return the median milliseconds of a call, made for one case at a time; `prepare` makes it, untimed."""
    spent = []
    for row in np.linspace(0, len(cases) - 1, min(TIMED, len(cases))).astype(int):
        call = prepare(cases.take(np.array([row])))
        begun = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begun) * 1000)
    return median(spent)


def query_of(pipeline: Pipeline, case: Cases) -> Callable[[], object]:
    """Return the call that asks a pipeline a whole "for you" query with the caller's ids."""
    return partial(pipeline.run, Query(history=pipeline.dataset.item_ids.decode(case.histories.items)))
