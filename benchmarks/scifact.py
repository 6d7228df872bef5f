"""Search relevance on SciFact: words, a language model as it comes and fine-tuned, both together, a cross-encoder.

All is learned from the training claims and chosen on a part of them that is put aside; the test claims are asked
once. Claims are written in several versions ("A increases B", "A decreases B"), and the same abstract answers some of
the test and some of the training claims; so each figure is also told for the test claims of which no abstract was
among the answers of a training claim.
"""

import time
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.core import Batch, Dataset, Pipeline, Recipe, Weights
from twofold.core.stage import Stage
from twofold.data.judgements import Judgements, dataset_of, read_scifact
from twofold.evaluate import Row, Table, machine
from twofold.evaluate.metrics import relevance_metrics
from twofold.flows import fit
from twofold.ranking import CrossEncoder
from twofold.ranking.mixing import best_weight

__all__ = ["run"]

DEPTH, TOGETHER = 100, 100
METRICS = ("ndcg@10", "recall@100", "mrr@10")
HELD_OUT, SEED = 160, 0
SHARES = tuple(round(step / 10, 1) for step in range(1, 10))
"""Weights of the dense retriever that are tried; the lexical one has the rest."""
SPEED = 256
"""Documents on which the throughput of encoding is measured."""
TUNED: dict[str, Any] = {
    "steps": 60,
    "lr": 5e-5,
    "batch_size": 32,
    "part": 32,
    "max_tokens": 128,
    "held_out": 0.0,
    "fields": 0.02,
}
READ = {"depth": 20, "max_tokens": 160, "epochs": 1, "wrong": 3, "invented": 200, "held_out_most": 60}

Progress = Callable[[str], None]
Tables = dict[str, dict[str, Any]]
Found = dict[str, list[tuple[str, float]]]

ENCODE: Tables = {
    "zero-shot": {"kind": "text-encoder"},
    "tuned": {"kind": "text-encoder", "negatives": "words", "finetune": TUNED},
    "adapted": {"kind": "adapted-encoder", "encoder": "zero-shot"},
}
EXPAND: Tables = {"clicks": {"kind": "asked"}}
RETRIEVE: Tables = {
    "words": {"kind": "lexical", "hits": 300},
    "asked": {"kind": "lexical", "hits": 300, "expansion": "clicks"},
    "zero": {"kind": "dense", "encoder": "zero-shot"},
    "fine": {"kind": "dense", "encoder": "tuned"},
    "mapped": {"kind": "dense", "encoder": "adapted"},
}
RANK: Tables = {
    "reader": {"kind": "cross-encoder", "encoder": "zero-shot", "lexical": "words", "dense": "zero", **READ}
}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A row of the table."""

    name: str
    lexical: str = ""
    dense: str = ""
    reads: bool = False


SYSTEMS = (
    System(name="BM25", lexical="words"),
    System(name="MiniLM", dense="zero"),
    System(name="hybrid", lexical="words", dense="zero"),
    System(name="MiniLM, adapted", dense="mapped"),
    System(name="hybrid, adapted", lexical="words", dense="mapped"),
    System(name="BM25, earlier claims added", lexical="asked"),
    System(name="hybrid, adapted, earlier claims added", lexical="asked", dense="mapped"),
    System(name="MiniLM, fine-tuned", dense="fine"),
    System(name="hybrid, fine-tuned", lexical="words", dense="fine"),
    System(name="hybrid, adapted, cross-encoder", lexical="words", dense="mapped", reads=True),
)


def run(data: Path, progress: Progress) -> dict[str, Any]:
    """Fit, choose and measure all systems."""
    test, training = read_scifact(data / "scifact"), read_scifact(data / "scifact", split="train")
    learned, aside = _parted(training)
    dataset = dataset_of(test.documents, learned)
    shelf: MutableMapping[str, Stage] = {}
    rows, chosen = [], dict[str, Any]()
    known = {item for gains in learned.qrels.values() for item, gain in gains.items() if gain > 0}
    unseen = np.array([not known & {item for item, gain in gains.items() if gain > 0} for gains in test.qrels.values()])
    for system in SYSTEMS:
        begun = time.perf_counter()
        pipeline, chosen[system.name] = _chosen(system, dataset, aside, shelf)
        values = _measured(pipeline, test)
        progress(
            f"{system.name}: {chosen[system.name]}; {values['ndcg@10'].mean():.4f}, "
            f"{values['ndcg@10'][unseen].mean():.4f} of unseen; {time.perf_counter() - begun:.0f} s"
        )
        extra = {
            "ndcg@10, abstract unseen": float(values["ndcg@10"][unseen].mean()),
            "ms a query": _latency(pipeline, list(test.queries.values())),
            **_costs(pipeline, system),
        }
        rows.append(Row(name=system.name, metrics=values, extra=extra))
    card = {
        "learned from": f"{len(learned.qrels)} training claims",
        "chosen on": f"{len(aside.qrels)} other training claims",
        "asked": f"{len(test.qrels)} test claims",
        "abstract unseen": f"{int(unseen.sum())} test claims, none of whose abstracts answers a claim learned from",
        "documents": len(test.documents),
        "depth": DEPTH,
        "seed": SEED,
        "chosen": chosen,
        "fine-tuning": TUNED,
        "cross-encoder": READ,
        "latency": "median, one query at a time",
        "data": dataset.fingerprint(),
        "machine": machine(),
    }
    return Table(rows=rows, protocol=card, baseline="hybrid").as_dict()


def _parted(training: Judgements) -> tuple[Judgements, Judgements]:
    """Return the training claims without some, and these."""
    names = list(training.qrels)
    aside = {names[row] for row in np.random.default_rng(SEED).permutation(len(names))[:HELD_OUT]}
    return _of(training, [name for name in names if name not in aside]), _of(training, sorted(aside))


def _of(judged: Judgements, names: Sequence[str]) -> Judgements:
    return replace(
        judged,
        queries={name: judged.queries[name] for name in names},
        qrels={name: judged.qrels[name] for name in names},
    )


def _chosen(
    system: System, dataset: Dataset, aside: Judgements, shelf: MutableMapping[str, Stage]
) -> tuple[Pipeline, dict[str, float]]:
    """Return a fitted system with the weights that are best for the claims put aside, and these."""
    shares = SHARES if system.lexical and system.dense else (1.0,) if system.dense else (0.0,)
    tried = []
    for share in shares:
        pipeline = fit(dataset, _recipe(replace(system, reads=False), share), shelf=shelf)
        tried.append((float(_measured(pipeline, aside)["ndcg@10"].mean()), -share))
    quality, share = max(tried)
    pipeline = fit(dataset, _recipe(system, -share), shelf=shelf)
    chosen = {"dense": -share, "ndcg@10 on claims put aside": quality}
    for ranker in pipeline.rankers.values():
        assert isinstance(ranker, CrossEncoder)
        before = fit(dataset, _recipe(replace(system, reads=False), -share), shelf=shelf)
        ranker.weight, quality = _weighed(ranker, before, aside)
        chosen |= {"cross-encoder": ranker.weight, "ndcg@10 on claims put aside": quality}
    return pipeline, chosen


def _weighed(ranker: CrossEncoder, before: Pipeline, aside: Judgements) -> tuple[float, float]:
    """Return the weight of a cross-encoder that is best for the claims put aside, and how good it is."""
    batch = Batch.of_texts([aside.queries[name] for name in aside.qrels])
    ranker.weight, ranker.depth = 1.0, ranker.config.depth
    found = before.rank(batch, ranker.depth)
    read = ranker.rank(batch, "text", found)
    # The same items in another order.
    own, there, here = np.empty_like(found.scores), read.items.argsort(axis=1), found.items.argsort(axis=1)
    np.put_along_axis(own, here, np.take_along_axis(read.sources["cross-encoder"], there, axis=1), axis=1)
    codes = before.dataset.item_ids
    grades = [{codes.find(item): float(gain) for item, gain in gains.items()} for gains in aside.qrels.values()]
    return best_weight(found.items, found.scores, own, grades)


def _recipe(system: System, share: float) -> Recipe:
    weights = {system.lexical: round(1 - share, 1), system.dense: share}
    recipe = Recipe(
        name=system.name,
        encode=ENCODE,
        expand=EXPAND,
        retrieve=RETRIEVE,
        rank=RANK if system.reads else {},
        evidence=Weights(text={name: weight for name, weight in weights.items() if name}),
    )
    return recipe.needed()


def _measured(pipeline: Pipeline, judged: Judgements) -> dict[str, npt.NDArray[np.float64]]:
    """Return each metric of each query."""
    names, found = list(judged.qrels), {}
    for start in range(0, len(names), TOGETHER):
        part = names[start : start + TOGETHER]
        ranked = pipeline.rank(Batch.of_texts([judged.queries[name] for name in part]), DEPTH)
        for row, name in enumerate(part):
            kept = ranked.items[row] >= 0
            ids = map(str, pipeline.dataset.item_ids.decode(ranked.items[row, kept]))
            # Falling numbers in place of the scores, so that the order is the pipeline's own.
            found[name] = [(item, -float(place)) for place, item in enumerate(ids)]
    values = relevance_metrics(found, judged.qrels, ks=(10, 100))
    return {metric: values[metric] for metric in METRICS}


def _latency(pipeline: Pipeline, texts: Sequence[str], count: int = 30) -> float:
    seconds = []
    for text in texts[:count]:
        begun = time.perf_counter()
        pipeline.rank(Batch.of_texts([text]), 10)
        seconds.append(time.perf_counter() - begun)
    return 1000 * median(seconds)


def _costs(pipeline: Pipeline, system: System) -> dict[str, float]:
    """Return what fitting took, and how fast documents are encoded."""
    costs = {"fit seconds": sum(stage.seconds for stage in pipeline.stages.values())}
    for encoder in pipeline.encoders.values() if system.dense else ():
        sample = pipeline.dataset.items.sample(SPEED, seed=SEED)
        begun = time.perf_counter()
        encoder.encode_items(sample)
        costs["documents a second"] = SPEED / (time.perf_counter() - begun)
    return costs
