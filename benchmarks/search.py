"""Relevance and speed of search on SciFact and Cranfield: words, a language model, both, and the peer bm25s."""

import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measure import measured
from twofold.core import Batch, Dataset, Recipe, Weights
from twofold.core.stage import Stage
from twofold.data.judgements import Judgements, dataset_of, read_cranfield, read_scifact
from twofold.evaluate.metrics import relevance_metrics
from twofold.evaluate.significance import bootstrap_interval
from twofold.flows import fit
from twofold.retrieval import Lexical, LexicalConfig

__all__ = ["run"]

DEPTH = 100
METRICS = ("ndcg@10", "recall@100", "mrr@10")
K1, B, METHODS = (0.9, 1.2, 1.5, 2.0), (0.4, 0.6, 0.75, 0.9), ("lucene", "bm25+", "bm25l")

HYBRID = Recipe(
    name="hybrid",
    encode={"minilm": {"kind": "text-encoder"}},
    retrieve={"words": {"kind": "lexical"}, "near": {"kind": "dense", "encoder": "minilm"}},
    evidence=Weights(text={"words": 0.5, "near": 0.5}),
    tune={"step": 0.1},
)
DENSE = replace(HYBRID, evidence=Weights(text={"near": 1.0}), tune={}).needed()

Found = list[tuple[str, float]]
Search = Callable[[str], Found]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Documents with queries whose answers are known."""

    name: str
    dataset: Dataset
    judged: Judgements
    training: Judgements | None
    """Other queries, on which options may be chosen."""


class TwofoldSearch:
    """`Lexical` with its defaults, which were chosen on SciFact's training queries."""

    name = "Twofold BM25"

    def __init__(self, collection: Collection) -> None:
        self.ids = collection.dataset.item_ids
        self.stage = Lexical(LexicalConfig(hits=DEPTH)).fit(collection.dataset)

    def __call__(self, text: str) -> Found:
        """Return the best documents and their scores."""
        codes, scores = self.stage.score(Batch.of_texts([text]), "text").top(DEPTH)
        kept = codes[0] >= 0
        return list(zip(map(str, self.ids.decode(codes[0, kept])), scores[0, kept].tolist(), strict=True))


class PipelineSearch:
    """A pipeline with a language model as it comes; what it fits is shared through the shelf."""

    def __init__(self, dataset: Dataset, recipe: Recipe, shelf: MutableMapping[str, Stage]) -> None:
        self.pipeline = fit(dataset, recipe, shelf=shelf)

    def __call__(self, text: str) -> Found:
        """Return the best documents and their scores."""
        found = self.pipeline.rank(Batch.of_texts([text]), DEPTH)
        kept = found.items[0] >= 0
        ids = map(str, self.pipeline.dataset.item_ids.decode(found.items[0, kept]))
        return list(zip(ids, found.scores[0, kept].tolist(), strict=True))


class Bm25sSearch:
    """bm25s with its own English stop words and the Snowball stemmer that its manual advises."""

    name = "bm25s"

    def __init__(self, collection: Collection, **options: Any) -> None:
        import bm25s  # noqa: PLC0415
        from Stemmer import Stemmer  # noqa: PLC0415

        def tokens(texts: Sequence[str]) -> Any:
            return bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, show_progress=False)

        stemmer = Stemmer("english")
        items = collection.dataset.items
        self.ids = np.array([str(item) for item in items["item"]])
        self.corpus = tokens([f"{title or ''} {text or ''}" for title, text in items.select("title", "text").rows()])
        self.tokens = tokens
        self.build(**options)

    def build(self, **options: Any) -> None:
        """Index the documents, which are already cut into words."""
        import bm25s  # noqa: PLC0415

        self.engine = bm25s.BM25(**options)
        self.engine.index(self.corpus, show_progress=False)

    def __call__(self, text: str) -> Found:
        """Return the best documents and their scores."""
        codes, scores = self.engine.retrieve(self.tokens([text]), k=DEPTH, show_progress=False)
        kept = scores[0] > 0
        return list(zip(self.ids[codes[0, kept]].tolist(), scores[0, kept].tolist(), strict=True))


def run(data: Path, progress: Progress) -> dict[str, Any]:
    """Index both collections with all systems and measure them; peers come from the extra `peers`."""
    rows: list[dict[str, Any]] = []
    chosen: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for collection in _collections(data):
        options = _choose(collection, progress)
        chosen[collection.name] = options or "its defaults"
        found, weights[collection.name] = _measure(collection, options, progress)
        rows += found
    protocol = {
        "depth": DEPTH,
        "text": "title and abstract",
        "twofold": "defaults, chosen on the training queries of scifact",
        "bm25s": chosen,
        "hybrid": "weights chosen on titles as queries for documents without them; learned: on the training queries",
        "weights": weights,
        "interval": "95 % bootstrap over queries",
        "index": "seconds from the texts to an index that answers",
        "latency": "median over queries, one at a time, systems in turns, from the text to ids and scores",
    }
    return {"protocol": protocol, "rows": rows}


def _collections(data: Path) -> list[Collection]:
    scifact, cranfield = read_scifact(data / "scifact"), read_cranfield(data / "cranfield")
    training = read_scifact(data / "scifact", split="train")
    return [
        Collection(name="scifact", dataset=dataset_of(scifact.documents), judged=scifact, training=training),
        Collection(name="cranfield", dataset=dataset_of(cranfield.documents), judged=cranfield, training=None),
    ]


def _choose(collection: Collection, progress: Progress) -> dict[str, Any]:
    """Return the options of bm25s that do best on the training queries; none where there are no such queries."""
    if collection.training is None:
        return {}
    search, best, options = Bm25sSearch(collection), -1.0, {}
    for k1, b, method in product(K1, B, METHODS):
        search.build(k1=k1, b=b, method=method)
        values = relevance_metrics(_answers(search, collection.training), collection.training.qrels, ks=(10,))
        mean = float(values["ndcg@10"].mean())
        if mean > best:
            best, options = mean, {"k1": k1, "b": b, "method": method}
    progress(f"{collection.name}: bm25s does best on training queries with {options} (ndcg@10 {best:.4f})")
    return options


def _answers(search: Search, judged: Judgements) -> dict[str, Found]:
    return {query: search(judged.queries[query]) for query in judged.qrels}


def _makers(collection: Collection, options: Mapping[str, Any]) -> dict[str, Callable[[], Search]]:
    """Return how each system is made; the language model encodes the documents once for all."""
    shelf: dict[str, Stage] = {}
    documents, training = collection.dataset, collection.training
    makers: dict[str, Callable[[], Search]] = {
        TwofoldSearch.name: lambda: TwofoldSearch(collection),
        Bm25sSearch.name: lambda: Bm25sSearch(collection, **options),
        "MiniLM": lambda: PipelineSearch(documents, DENSE, shelf),
        "hybrid": lambda: PipelineSearch(documents, HYBRID, shelf),
    }
    if training is not None:
        asked = dataset_of(training.documents, training)
        makers["hybrid, learned weights"] = lambda: PipelineSearch(asked, HYBRID, shelf)
    return makers


def _measure(
    collection: Collection, options: Mapping[str, Any], progress: Progress
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of all systems, and the weights of those that fuse."""
    makers = _makers(collection, options)
    weights: dict[str, Any] = {}
    systems: dict[str, Search] = {}
    rows: list[dict[str, Any]] = []

    def add(system: str, metric: str, value: float, low: float | None = None, high: float | None = None) -> None:
        named = f"{collection.name} {metric}"
        rows.append({"system": system, "metric": named, "value": value, "low": low, "high": high})

    for name, make in makers.items():
        progress(f"{collection.name}: indexing with {name}")
        with measured() as cost:
            systems[name] = make()
        add(name, "index s", cost.seconds)
        system = systems[name]
        if isinstance(system, PipelineSearch):
            weights[name] = system.pipeline.recipe.evidence.text
            encoder = system.pipeline.encoders["minilm"]
            add(name, "documents a second", len(encoder.vectors) / encoder.seconds)
    runs, seconds = _timed(systems, collection.judged)
    for name, found in runs.items():
        values = relevance_metrics(found, collection.judged.qrels, ks=(10, 100))
        for metric in METRICS:
            low, high = bootstrap_interval(values[metric], rng=0)
            add(name, metric, float(values[metric].mean()), low, high)
        add(name, "ms a query", 1000 * median(seconds[name]))
    return rows, weights


def _timed(
    systems: Mapping[str, Search], judged: Judgements
) -> tuple[dict[str, dict[str, Found]], dict[str, list[float]]]:
    """Answer each query with every system, in turns."""
    runs: dict[str, dict[str, Found]] = {name: {} for name in systems}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for query in judged.qrels:
        for name, search in systems.items():
            begun = time.perf_counter()
            runs[name][query] = search(judged.queries[query])
            seconds[name].append(time.perf_counter() - begun)
    return runs, seconds
