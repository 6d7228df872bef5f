"""The comparison that the MovieLens benchmarks share: every row chosen, fitted and measured in the same way."""

from collections.abc import Callable, MutableMapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.choosing import GRIDS, PEERS, choose, choose_peer
from benchmarks.measure import measured
from benchmarks.peers import Peer, likes_of
from twofold.core import Batch, Dataset, Histories, Recipe
from twofold.core.config import table
from twofold.core.stage import Stage
from twofold.data import Cases, Split, protocol, split
from twofold.evaluate import Row, Table, machine
from twofold.flows import default_recipe, fit, rank_cases, single
from twofold.flows.evaluate import DEPTH, latency, query_of, row_of

__all__ = ["compare_all", "measure_recipe"]

RECENT = "popular, recent"
NEURAL = ("sequential", "two-tower")
LEARNED = (*NEURAL, "content")
"""Kinds that stand in a row of their own beside the whole recipe."""
CHECKPOINTS = Path("runs/checkpoints")
VALIDATION = 2_000
"""At most so many validation cases are looked at when options are chosen."""


def compare_all(
    dataset: Dataset,
    options: Split,
    say: Callable[[str], None],
    *,
    without: tuple[str, ...] = (),
    whole: Recipe | None = None,
) -> dict[str, Any]:
    """Measure Twofold's models, its default recipe and its peers on one split of a dataset.

    Options are chosen on a validation part of the train part, in as many tries for peers as for us. Every
    row falls back on the same popularity where a case has no like.

    Args:
        dataset: all data.
        options: how they are split.
        say: told what is being done.
        without: rows to leave out, such as recent popularity where there are no times.
        whole: a recipe that is measured too, its neural recommenders also alone.
    """
    recipe = default_recipe()
    recipe = replace(
        recipe,
        split=table(options),
        retrieve={name: stage for name, stage in recipe.retrieve.items() if name not in ("lexical", "similar")},
        evidence=replace(recipe.evidence, text={}, items={}),
    )
    train, cases = split(dataset, options)
    older, asked = split(train, options)
    asked = asked.sample(VALIDATION)
    rows, chosen = [], {}
    for name, grid in GRIDS.items():
        if name not in without:
            chosen[name], _ = choose(grid, older, asked, recipe)
            say(f"{name}: {chosen[name]}")
            rows.append(_ours(name, single(name, chosen[name], recipe), train, cases))
    rows.append(_ours("twofold default recipe", recipe, train, cases))
    if whole is not None:
        rows += _whole(replace(whole, split=table(options)), train, cases, say)
    for name, (make, grid) in PEERS.items():
        if name in without:
            continue
        chosen[name], _ = choose_peer(make, grid, older, asked, _fallback(recipe, older))
        say(f"{name}: {chosen[name]}")
        rows.append(_theirs(name, make(dict(chosen[name])), train, cases, _fallback(recipe, train)))
    card = {**_card(options, dataset, cases), "options": chosen}
    baseline = RECENT if RECENT in chosen else None
    return Table(rows=rows, protocol=card, clusters=cases.users, baseline=baseline).as_dict()


def measure_recipe(dataset: Dataset, options: Split, say: Callable[[str], None], recipe: Recipe) -> dict[str, Any]:
    """Measure a recipe, and its neural recommenders alone, on one split of a dataset.

    Args:
        dataset: all data.
        options: how they are split.
        say: told what is being done.
        recipe: what is measured.
    """
    train, cases = split(dataset, options)
    rows = _whole(replace(recipe, split=table(options)), train, cases, say)
    return Table(rows=rows, protocol=_card(options, dataset, cases), clusters=cases.users).as_dict()


def _card(options: Split, dataset: Dataset, cases: Cases) -> dict[str, Any]:
    """Return what the numbers rest on."""
    return {
        **protocol(options, dataset, cases),
        "candidates": "all items",
        "seen items": "removed",
        "ties": "against the model",
        "data": dataset.fingerprint(),
        "machine": machine(),
    }


def _whole(recipe: Recipe, train: Dataset, cases: Cases, say: Callable[[str], None]) -> list[Row]:
    """Measure a recipe and its neural recommenders alone; each is trained once on the train part.

    A run that is killed and started again goes on with the trainings where they were.
    """
    resumable = {
        name: stage | {"checkpoint": str(CHECKPOINTS)} if stage["kind"] in NEURAL else stage
        for name, stage in recipe.retrieve.items()
    }
    asked = replace(recipe.evidence, text={}, image={}, items={})
    recipe = replace(recipe, retrieve=resumable, evidence=asked)
    shelf: dict[str, Stage] = {}
    rows = []
    for name, stage in recipe.retrieve.items():
        if stage["kind"] in LEARNED:
            say(f"{name}: {stage}")
            rows.append(_ours(name, single(name, stage, recipe), train, cases, shelf))
    say(f"{recipe.name}: all")
    return [*rows, _ours(recipe.name, recipe.needed(), train, cases, shelf)]


def _ours(
    name: str, recipe: Recipe, train: Dataset, cases: Cases, shelf: MutableMapping[str, Stage] | None = None
) -> Row:
    with measured() as cost:
        pipeline = fit(train, recipe, shelf=shelf)
    spent = latency(partial(query_of, pipeline), cases)
    costs = {"fit seconds": cost.seconds, "fit peak MB": cost.megabytes, "ms a query": spent}
    reports = [report for stage in pipeline.stages.values() for report in getattr(stage, "reports", ())]
    if reports:  # counted by the training itself, what went before an interruption included
        costs["training seconds"] = sum(report.seconds for report in reports)
        costs["fit seconds"] = max(cost.seconds, costs["training seconds"])
    if len(pipeline.recipe.evidence.history) > 1:
        costs |= {f"weight of {key}": value for key, value in pipeline.recipe.evidence.history.items()}
    return row_of(name, rank_cases(pipeline, cases), train, cases, costs)


def _theirs(name: str, peer: Peer, train: Dataset, cases: Cases, fallback: np.ndarray) -> Row:
    likes = likes_of(train.log, len(train.items))
    with measured() as cost:
        peer.fit(likes)
    ranking = peer.rank(train, cases, fallback, DEPTH)
    spent = latency(lambda case: partial(peer.rank, train, case, fallback, 10), cases)
    costs = {"fit seconds": cost.seconds, "fit peak MB": cost.megabytes, "ms a query": spent}
    return row_of(name, ranking, train, cases, costs)


def _fallback(recipe: Recipe, train: Dataset) -> np.ndarray:
    """Return the scores that a recipe gives to all items without any evidence."""
    pipeline = fit(train, single("fallback", {"kind": "popularity"}, recipe))
    size = len(train.items)
    found = pipeline.rank(Batch.of_histories(Histories.empty(1)), size)
    scores = np.zeros(size, np.float32)
    scores[found.items[0]] = found.scores[0]
    return scores
