"""The comparison that the MovieLens benchmarks share: every row chosen, fitted and measured in the same way."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.choosing import GRIDS, PEERS, choose, choose_peer
from benchmarks.measure import measured
from benchmarks.peers import Peer, likes_of
from twofold.core import Batch, Dataset, Histories, Recipe
from twofold.core.config import table
from twofold.data import Cases, Split, protocol, split
from twofold.evaluate import Row, Table, machine
from twofold.flows import default_recipe, fit, rank_cases, single
from twofold.flows.evaluate import DEPTH, latency, query_of, row_of

__all__ = ["compare_all"]

RECENT = "popular, recent"
VALIDATION = 2_000
"""At most so many validation cases are looked at when options are chosen."""


def compare_all(
    dataset: Dataset, options: Split, say: Callable[[str], None], *, without: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Measure Twofold's models, its default recipe and its peers on one split of a dataset.

    Options are chosen on a validation part of the train part, in as many tries for peers as for us. Every
    row falls back on the same popularity where a case has no like.

    Args:
        dataset: all data.
        options: how they are split.
        say: told what is being done.
        without: rows to leave out, such as recent popularity where there are no times.
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
    for name, (make, grid) in PEERS.items():
        chosen[name], _ = choose_peer(make, grid, older, asked, _fallback(recipe, older))
        say(f"{name}: {chosen[name]}")
        rows.append(_theirs(name, make(dict(chosen[name])), train, cases, _fallback(recipe, train)))
    card = {
        **protocol(options, dataset, cases),
        "candidates": "all items",
        "seen items": "removed",
        "ties": "against the model",
        "data": dataset.fingerprint(),
        "options": chosen,
        "machine": machine(),
    }
    baseline = RECENT if RECENT in chosen else None
    return Table(rows=rows, protocol=card, clusters=cases.users, baseline=baseline).as_dict()


def _ours(name: str, recipe: Recipe, train: Dataset, cases: Cases) -> Row:
    with measured() as cost:
        pipeline = fit(train, recipe)
    spent = latency(partial(query_of, pipeline), cases)
    costs = {"fit seconds": cost.seconds, "fit peak MB": cost.megabytes, "ms a query": spent}
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
