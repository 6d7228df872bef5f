"""Choose options on a validation part, for Twofold's models and for peers alike."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers import ImplicitALS, ImplicitKNN, LensKit, Peer, likes_of
from twofold.core import Dataset, Recipe
from twofold.data import Cases
from twofold.evaluate import accuracy, cluster_mean
from twofold.flows import fit, rank_cases, single

__all__ = ["GRIDS", "PEERS", "Choice", "choose", "choose_peer"]

Choice = tuple[dict[str, Any], float]
"""Options, and the NDCG@10 that they reach on the validation part."""
ALS = [{"factors": factors, "alpha": alpha} for factors in (64, 128) for alpha in (1.0, 10.0)]

GRIDS: dict[str, list[dict[str, Any]]] = {
    "popular": [{"kind": "popularity"}],
    "popular, recent": [{"kind": "popularity", "half_life_days": days} for days in (7.0, 30.0, 90.0, 365.0)],
    "item-knn": [
        {"kind": "item-knn", "neighbours": count, "recency": recency} for count in (50, 200) for recency in (1.0, 0.9)
    ],
    "ease": [{"kind": "ease", "reg": reg} for reg in (30.0, 100.0, 300.0, 1000.0)],
    "ease, recency": [
        {"kind": "ease", "reg": reg, "recency": recency} for reg in (100.0, 300.0) for recency in (0.95, 0.85)
    ],
    "als": [{"kind": "als", "reg": reg, **options} for options in ALS for reg in (0.1, 10.0)],
    "transitions": [{"kind": "transitions", "recency": recency} for recency in (0.6, 0.8)],
}
"""For each row, the options that are tried: none more than eight, the peers' as many as ours."""

PEERS: dict[str, tuple[Callable[[dict[str, Any]], Peer], list[dict[str, Any]]]] = {
    "implicit ALS": (
        ImplicitALS,
        [{"num_threads": 2, "regularization": reg, **options} for options in ALS for reg in (0.1, 10.0)],
    ),
    "implicit cosine kNN": (ImplicitKNN, [{"K": count} for count in (20, 50, 100, 200)]),
    "LensKit item-kNN": (
        LensKit,
        [{"scorer": "item-knn", "feedback": "implicit", "max_nbrs": count} for count in (20, 50, 100, 200)],
    ),
    "LensKit EASE": (
        LensKit,
        [{"scorer": "ease", "regularization": reg} for reg in (30.0, 100.0, 300.0, 1000.0)],
    ),
}


def choose(options: Iterable[Mapping[str, Any]], train: Dataset, cases: Cases, recipe: Recipe) -> Choice:
    """Return the options of a stage that rank validation cases best, and how well."""
    tried = []
    for stage in options:
        items, scores = rank_cases(fit(train, single("tried", stage, recipe)), cases)
        tried.append((dict(stage), quality(items, scores, cases)))
    return max(tried, key=lambda choice: choice[1])


def choose_peer(
    make: Callable[[dict[str, Any]], Peer],
    options: Iterable[Mapping[str, Any]],
    train: Dataset,
    cases: Cases,
    fallback: np.ndarray,
) -> Choice:
    """Return the options of a peer that rank validation cases best, and how well."""
    tried = []
    for values in options:
        peer = make(dict(values))
        peer.fit(likes_of(train.log, len(train.items)))
        tried.append((dict(values), quality(*peer.rank(train, cases, fallback, 60), cases)))
    return max(tried, key=lambda choice: choice[1])


def quality(items: np.ndarray, scores: np.ndarray, cases: Cases) -> float:
    """Return NDCG@10, each user counting the same."""
    return cluster_mean(accuracy(items, scores, cases.targets, ks=(10,))["ndcg@10"], cases.users)
