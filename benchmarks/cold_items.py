"""Items without likes: MovieLens ml-latest-small with plots, a tenth of the items held out of training entirely."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.measure import measured
from twofold.core import Dataset, Encoder, Histories
from twofold.core.scores import DenseScores, Floats, Mask
from twofold.data import read_data
from twofold.encoders.text import TextEncoder, TextEncoderConfig
from twofold.encoders.text.finetune import FineTune
from twofold.evaluate import accuracy, bootstrap_interval, machine, paired_test
from twofold.models import EASE, Content, ContentConfig, EASEConfig
from twofold.models.attributes import Attributes
from twofold.models.recommender import like_matrix, recency_weights

__all__ = ["run"]

K = 20
DEPTH = 60
SHARE = 0.1
TOKENS = 64
TUNING = FineTune(
    minutes=10.0, lr=1e-4, frozen_layers=3, batch_size=64, part=128, max_tokens=TOKENS, pairs=3_200, popularity=0.5
)
RECENCY = (1.0, 0.95, 0.9, 0.8)
CONTENT = list(product((0.5, 1.0), (10.0, 30.0), (30.0, 100.0)))
"""Options of the content model that are tried on the validation items: attributes, ridge, reg."""
SEED = 0

Codes = npt.NDArray[np.int64]
Say = Callable[[str], None]
Scorer = Callable[[Histories], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """Some items held out: what may be learned from, and the users who liked some of them."""

    train: Dataset
    items: Codes
    """The items to rank, none of which has an event in `train`."""
    histories: Histories
    """What each user liked in `train`."""
    targets: Histories
    """The held-out items that each liked."""

    @classmethod
    def of(cls, dataset: Dataset, items: Codes, lost: Codes) -> "Cold":
        """Hold items out, and leave out others altogether."""
        log = dataset.log
        train = dataset.with_log(log.where(~np.isin(log.items, np.concatenate((items, lost)))))
        histories, targets = train.log.likes(), log.where(np.isin(log.items, items)).likes()
        users = np.flatnonzero((histories.lengths > 0) & (targets.lengths > 0))
        return cls(train=train, items=items, histories=histories.take(users), targets=targets.take(users))

    def ndcg(self, score: Scorer, *, among_all: bool = False) -> npt.NDArray[np.float64]:
        """Return NDCG@20 of each user, over the held-out items or over all that the user has not liked yet."""
        scores = DenseScores(score(self.histories))
        allowed: Mask = np.zeros((len(self.histories), len(self.train.items)), bool)
        if among_all:
            allowed[:] = True
            allowed[self.histories.rows, self.histories.items] = False
        else:
            allowed[:, self.items] = True
        found, values = scores.top(DEPTH, allowed)
        return accuracy(found, values, self.targets, ks=(K,))[f"ndcg@{K}"]


def run(data: Path, say: Say) -> dict[str, Any]:
    """Choose options on one tenth of the items, then measure all systems on another."""
    dataset = _described(data)
    rated = np.flatnonzero(np.bincount(dataset.log.items, minlength=len(dataset.items)))
    mixed = np.random.default_rng(SEED).permutation(rated)
    size = round(SHARE * len(rated))
    test, validation = np.sort(mixed[:size]), np.sort(mixed[size : 2 * size])
    chosen_on, cold = Cold.of(dataset, validation, test), Cold.of(dataset, test, test[:0])
    costs: dict[str, float] = {}
    encoders: dict[str, Encoder] = {}
    for name, tuning in (("MiniLM", FineTune()), ("fine-tuned MiniLM", TUNING)):
        stage = TextEncoder(TextEncoderConfig(max_tokens=TOKENS, finetune=tuning))
        stage.progress = lambda what, done, of: say(f"{what} ({done} of {of})")
        with measured() as cost:
            # Neither the validation's nor the test's events are there to be fine-tuned on.
            encoders[name] = stage.fit(chosen_on.train, rng=SEED)
        costs[name] = cost.seconds
        say(f"{name}: {cost.seconds:.0f} s")
    systems, chosen = _systems(chosen_on, cold, encoders, dataset, say)
    return {
        "protocol": {
            "data": dataset.fingerprint(),
            "users": len(cold.histories),
            "cold items": len(cold.items),
            "validation items": len(chosen_on.items),
            "candidates": "the held-out items; `full` columns: all items that the user has not liked",
            "histories": "all likes of items that are not held out",
            "targets": "held-out items that the user liked",
            "text": "title, genres and plot; users' tags are left out, since only who saw an item gives them",
            "options": chosen,
            "fine-tuning": "on the events of items held out for neither validation nor test",
            "interval": "95 % bootstrap over users",
            "machine": machine(),
        },
        "rows": _measure(systems, cold, costs, say),
        "comparisons": _compare(systems, cold),
    }


def _described(data: Path) -> Dataset:
    """Return MovieLens with plots in place of tags."""
    dataset = read_data(data / "ml-latest-small")
    plots = pl.read_csv(data / "movie-overviews" / "ml-latest-small_overviews.csv")
    plots = plots.select(item="movieId", text="overview").unique("item", keep="first", maintain_order=True)
    items = dataset.items.drop("text").join(plots, on="item", how="left", maintain_order="left")
    return replace(dataset, items=items.select(dataset.items.columns))


def _systems(
    chosen_on: Cold, cold: Cold, encoders: Mapping[str, Encoder], dataset: Dataset, say: Say
) -> tuple[dict[str, Scorer], dict[str, Any]]:
    """Return all systems, fitted for the test items with options chosen on the validation items."""
    systems: dict[str, Scorer] = {
        "popularity with the held-out likes (oracle)": _popular(dataset.item_counts),
        "EASE (knows no cold item)": EASE(EASEConfig(reg=100.0)).fit(cold.train).score_histories,
    }
    known = systems["EASE (knows no cold item)"]
    chosen: dict[str, Any] = {}
    for name, vectors in (("attributes", None), ("attributes and text", encoders["MiniLM"].vectors)):
        guesses = {
            (ridge, log): _mean(chosen_on, _foretold(chosen_on.train, vectors, ridge=ridge, log=log))
            for ridge, log in product((1.0, 10.0, 100.0), (False, True))
        }
        ridge, log = max(guesses, key=lambda options: guesses[options])
        systems[f"popularity foretold from {name}"] = _foretold(cold.train, vectors, ridge=ridge, log=log)
        chosen[f"popularity foretold from {name}"] = {"ridge": ridge, "log": log, "validation": guesses[ridge, log]}
    for name, encoder in encoders.items():
        tried = {r: _mean(chosen_on, _near(encoder.vectors, r)) for r in RECENCY}
        best = max(tried, key=lambda recency: tried[recency])
        systems[f"{name}, mean of history"] = _near(encoder.vectors, best)
        chosen[f"{name}, mean of history"] = {"recency": best, "validation": tried[best]}
        say(f"{name}, mean of history: {chosen[f'{name}, mean of history']}")
    for name, given in (("attributes", None), *encoders.items()):
        found = {}
        for attributes, ridge, reg in CONTENT:
            options = ContentConfig(encoder="text" if given else "", attributes=attributes, ridge=ridge, reg=reg)
            found[options] = _mean(chosen_on, _content(options, given, chosen_on.train).score_histories)
        picked = max(found, key=lambda options: found[options])
        systems[f"content, {name}"] = _content(picked, given, cold.train).score_histories
        chosen[f"content, {name}"] = {
            "attributes": picked.attributes,
            "ridge": picked.ridge,
            "reg": picked.reg,
            "validation": found[picked],
        }
        say(f"content, {name}: {chosen[f'content, {name}']}")
    # What is foretold is EASE's own score, so the two stand in one ranking as they are.
    foretold = systems["content, fine-tuned MiniLM"]
    systems["EASE, and content for cold items"] = _either(known, foretold, cold.items)
    return systems, chosen


def _mean(cold: Cold, score: Scorer) -> float:
    return float(cold.ndcg(score).mean())


def _content(options: ContentConfig, encoder: Encoder | None, train: Dataset) -> Content:
    stage = Content(options)
    if encoder is not None:
        stage.linked["encoder"] = encoder
    return stage.fit(train)


def _popular(counts: npt.NDArray[Any]) -> Scorer:
    """Return a scorer that gives everyone the same."""
    return lambda histories: np.tile(counts.astype(np.float32), (len(histories), 1))


def _foretold(train: Dataset, vectors: Floats | None, *, ridge: float, log: bool) -> Scorer:
    """Return the popularity that a ridge regression foretells from content.

    Its target is the number of likes, or the logarithm of 1 more; it knows too which items have a text.
    """
    told = train.items["text"].is_not_null().to_numpy()[:, None]
    said = [Attributes.of(train.items).rows(train.items), told, np.ones((len(told), 1))]
    features = np.concatenate([*said, *([] if vectors is None else [vectors])], axis=1).astype(np.float64)
    known = np.unique(train.log.items)
    likes = train.item_counts[known].astype(np.float64)
    seen = features[known]
    gram = seen.T @ seen + ridge * np.eye(seen.shape[1])
    return _popular(features @ np.linalg.solve(gram, seen.T @ (np.log1p(likes) if log else likes)))


def _either(known: Scorer, foretold: Scorer, items: Codes) -> Scorer:
    """Return a scorer that takes the scores of some items from another scorer."""

    def score(histories: Histories) -> Floats:
        scores = known(histories)
        scores[:, items] = foretold(histories)[:, items]
        return scores

    return score


def _near(vectors: Floats, recency: float) -> Scorer:
    """Return the likeness of items to the mean of what was liked, the newest counting most."""

    def score(histories: Histories) -> Floats:
        weights = recency_weights(histories, recency)
        scores: Floats = (like_matrix(histories, len(vectors), weights) @ vectors) @ vectors.T
        return scores

    return score


def _measure(systems: Mapping[str, Scorer], cold: Cold, costs: Mapping[str, float], say: Say) -> list[dict[str, Any]]:
    """Return the figures of all systems, with intervals."""
    rows = []
    for name, score in systems.items():
        for metric, among_all in ((f"ndcg@{K}", False), (f"full ndcg@{K}", True)):
            values = cold.ndcg(score, among_all=among_all)
            low, high = bootstrap_interval(values, rng=SEED)
            rows.append({"system": name, "metric": metric, "value": float(values.mean()), "low": low, "high": high})
            say(f"{name}: {metric} {values.mean():.4f} [{low:.4f}, {high:.4f}]")
    for name, seconds in costs.items():
        rows.append({"system": f"{name}, mean of history", "metric": "encode seconds", "value": seconds})
    return [{"low": None, "high": None, **row} for row in rows]


def _compare(systems: Mapping[str, Scorer], cold: Cold) -> list[dict[str, Any]]:
    """Return how many times better the content models are than plain rows, tested over users."""
    measured_by = {name: cold.ndcg(score) for name, score in systems.items()}
    plain = (
        "popularity foretold from attributes",
        "popularity foretold from attributes and text",
        "MiniLM, mean of history",
    )
    found = []
    for name in ("fine-tuned MiniLM, mean of history", "content, MiniLM", "content, fine-tuned MiniLM"):
        for against in plain:
            one, other = measured_by[name], measured_by[against]
            found.append(
                {
                    "system": name,
                    "against": against,
                    "metric": f"ndcg@{K}",
                    "ratio": float(one.mean() / other.mean()),
                    "p": paired_test(one, other, rng=SEED).p_value,
                }
            )
    return found
