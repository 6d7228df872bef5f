"""`CrossEncoder`: reads a search text and each of the best items together, and orders them anew."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
import polars as pl

from twofold.core import Batch, Candidates, Dataset, Encoder, Evidence, Ranker, Retriever
from twofold.core.errors import ConfigError, needed_for
from twofold.core.ids import Codes
from twofold.core.rungs import Network
from twofold.core.scores import Floats
from twofold.core.stage import Stage
from twofold.data.texts import item_texts
from twofold.ranking.examples import Asked, invented_searches, known_searches, part
from twofold.ranking.mixing import best_weight, mix
from twofold.ranking.pairs import PairScorer, PairTokens
from twofold.train.options import Precision, Training

__all__ = ["CrossEncoder", "CrossEncoderConfig"]

NAME = "cross-encoder"
ABOUT = "cross-encoder.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderConfig:
    """Options of `CrossEncoder`."""

    encoder: str = ""
    """The text encoder, by its name in the recipe, with whose (fine-tuned) weights it starts."""
    model: str = ""
    """A Hugging Face folder to start with instead."""
    lexical: str = ""
    """The lexical retriever, by its name in the recipe: what it finds beside the right answer is learned from. One
    that has learned from the same searches finds their answers too well for this."""
    dense: str = ""
    """The dense retriever, likewise. The weight is chosen for the mean of both; without either, wrong answers are
    drawn by chance."""
    depth: int = 20
    """How many candidates are read for a search."""
    weight: float | None = None
    """How much it counts against the ranking before, from 0 to 1; None: what is best on held-out searches, and 0 where
    none is better, so that it is not even asked."""
    max_tokens: int = 192
    """Tokens of a search text and an item's text together; the rest is not read."""
    wrong: int = 4
    """Wrong answers beside each right one in training."""
    rivals: int = 20
    """How many of the best candidates these are drawn from."""
    invented: int = 300
    """So many items' titles or sentences stand for searches too, for the rest of their text."""
    held_out: float = 0.2
    """Share of the searches that are put aside to choose the weight and the best epoch."""
    held_out_most: int = 100
    """Most searches that are put aside."""
    lr: float = 5e-5
    """The largest learning rate."""
    epochs: int = 2
    """How often each search is learned from."""
    minutes: float = 0.0
    """By when training ends; 0 for no limit of time."""
    patience: int = 2
    """Epochs without a better held-out quality after which it ends; 0 for never."""
    frozen_layers: int = 0
    """How many of the lowest layers stay as they are, and the table of tokens with them; saves time."""
    batch_size: int = 8
    """Searches in a training batch, each with its right and wrong answers."""
    together: int = 32
    """Pairs that are read at once when it is asked."""
    threads: int = 0
    """Threads for training and reading; 0 takes as many as there are."""
    precision: Precision = "auto"
    """`auto` multiplies in bfloat16 where the machine does so natively, else in float32."""

    def __post_init__(self) -> None:
        if min(self.depth, self.wrong, self.rivals, self.epochs, self.batch_size, self.together) < 1:
            raise ValueError("a cross-encoder wants depth, wrong, rivals, epochs, batch_size and together >= 1.")
        if min(self.invented, self.held_out_most, self.minutes, self.patience, self.frozen_layers, self.threads) < 0:
            raise ValueError("a cross-encoder wants no number below 0.")
        if self.lr <= 0 or not 0 <= self.held_out < 1 or self.max_tokens < 8:
            raise ValueError("a cross-encoder wants lr above 0, held_out from 0 to below 1 and max_tokens >= 8.")
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise ValueError("a cross-encoder wants a weight from 0 to 1, or none.")
        if self.encoder and self.model:
            raise ValueError("a cross-encoder starts with an encoder or with a model, not with both; remove one.")


class CrossEncoder(Ranker):
    """Orders the best candidates of a search anew by reading the search text and the item's text together.

    It starts with the weights of a text encoder and learns from `Dataset.queries` to put the right answer above
    what the retrievers found beside it; searches invented from the items' own words add to these. The new order is
    by `(1 - w) z(score before) + w z(logit)`, with z the standard score among the candidates of one search. `fit`
    writes an ONNX graph; ranking is onnxruntime's and needs neither torch nor transformers.

    Source: Nogueira and Cho, "Passage Re-ranking with BERT" (2019); see `PairModel` for the head and `ListTask` for
    the loss.
    """

    Config: ClassVar[type] = CrossEncoderConfig
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType(
        {"encoder": Encoder, "lexical": Retriever, "dense": Retriever}  # type: ignore[type-abstract]
    )
    evidence: ClassVar[tuple[Evidence, ...]] = ("text",)
    config: CrossEncoderConfig

    weight: float
    """How much it counts against the ranking before."""
    quality: float | None
    """NDCG@10 of the held-out searches at that weight; None where none were held out."""
    output = "logits"
    runner: PairScorer
    """Reads pairs: the network that was fitted, or one of another size in its place."""
    _scorer: PairScorer
    _items: pl.DataFrame

    def __init__(self, config: CrossEncoderConfig | None = None) -> None:
        super().__init__(config)
        self.depth = self.config.depth

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Learn from the dataset's searches, choose the weight, and return self.

        Raises:
            ConfigError: no encoder or model is named, or it cannot be read.
            DataError: there is neither a search with an answer nor an item with a title and a text.
            MissingExtraError: a package for training is not installed.
        """
        with needed_for("fitting a cross-encoder", "train"):
            from twofold.ranking.learning import ListTask  # noqa: PLC0415  torch is for fitting only
            from twofold.ranking.pair_model import PairModel, export, freeze, load_encoder  # noqa: PLC0415
            from twofold.train import train  # noqa: PLC0415
        config, rng = self.config, np.random.default_rng(rng)
        folder = self._start()
        searches, held_out = self._searches(dataset, rng)
        tokens = PairTokens((folder / "tokenizer.json").read_text(encoding="utf-8"), config.max_tokens)
        model = PairModel(load_encoder(folder))
        freeze(model, config.frozen_layers)
        texts = item_texts(dataset.items)
        task = ListTask(model, tokens, searches, held_out, texts, wrong=config.wrong, batch_size=config.batch_size)
        train(task, self._training(), seed=int(rng.integers(2**31)), progress=self.progress)
        self._scorer = PairScorer(export(model), tokens, threads=config.threads, batch_size=config.together)
        self.runner = self._scorer
        self._items = dataset.items
        self.weight, self.quality = self._weigh(held_out, texts)
        self.depth = config.depth if self.weight else 0
        return self

    def _start(self) -> Path:
        encoder = self.linked.get("encoder")
        folder = getattr(encoder, "folder", None) if encoder else Path(self.config.model) if self.config.model else None
        if folder is None or not (folder / "tokenizer.json").is_file():
            raise ConfigError(
                "a cross-encoder starts with a language model; name a text encoder of the recipe as its `encoder`, "
                "or a Hugging Face folder with a tokenizer.json as its `model`."
            )
        return Path(folder)

    def _searches(self, dataset: Dataset, rng: np.random.Generator) -> tuple[list[Asked], list[Asked]]:
        """Return what is learned from, and what is put aside: searches of people where there are any."""
        config = self.config
        retrievers = [self.linked[name] for name in ("lexical", "dense") if name in self.linked]
        depth = max(config.rivals, config.depth)
        known = known_searches(dataset, retrievers, depth)
        invented = invented_searches(dataset.items, retrievers, depth, config.invented, rng)
        kept, aside = part(known or invented, config.held_out, config.held_out_most, rng)
        kept += invented if known else []
        return (
            [replace(asked, found=asked.found[: config.rivals]) for asked in kept],
            [replace(asked, found=asked.found[: config.depth], scores=asked.scores[: config.depth]) for asked in aside],
        )

    def _training(self) -> Training:
        config = self.config
        return Training(
            lr=config.lr,
            warmup=0.1,
            epochs=config.epochs,
            minutes=config.minutes or None,
            patience=config.patience,
            evaluate_first=True,
            precision=config.precision,
            threads=config.threads,
        )

    def _weigh(self, held_out: Sequence[Asked], texts: Sequence[str]) -> tuple[float, float | None]:
        """Return the weight, and how good the held-out searches are answered with it."""
        from twofold.ranking.learning import padded  # noqa: PLC0415

        items, first, own = padded(
            held_out,
            [
                self._scorer([asked.text] * len(asked.found), [texts[item] for item in asked.found])
                for asked in held_out
            ],
        )
        if self.config.weight is not None or not held_out:
            return (0.5 if self.config.weight is None else self.config.weight), None
        return best_weight(items, first, own, [asked.grades for asked in held_out])

    def rank(self, batch: Batch, evidence: Evidence, found: Candidates) -> Candidates:
        """Order the `depth` best candidates anew; see `Ranker.rank`."""
        top = min(self.depth, found.items.shape[1])
        own = np.full(found.items.shape, np.nan, np.float32)
        if self.weight > 0 and top:
            own[:, :top] = self._read(batch, found.items[:, :top])
        scores = found.scores.copy()
        if self.weight > 0 and top:
            scores[:, :top] = mix(found.scores[:, :top], own[:, :top], self.weight)
            scores[:, :top] += _lift(scores[:, :top], scores[:, top:])
        return Candidates(items=found.items, scores=scores, sources={**found.sources, NAME: own}).ordered()

    def _read(self, batch: Batch, items: Codes) -> Floats:
        """Return the logits of candidates [b, c]; NaN where there is no item, or nothing to read of it."""
        codes, places = np.unique(items[items >= 0], return_inverse=True)
        texts = item_texts(self._items[codes.astype(np.int64)])
        rows, columns = np.nonzero(items >= 0)
        readable = np.array([bool(texts[place]) for place in places], bool)
        rows, columns, places = rows[readable], columns[readable], places[readable]
        own = np.full(items.shape, np.nan, np.float32)
        own[rows, columns] = self.runner([batch.texts[row] or "" for row in rows], [texts[place] for place in places])
        return own

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Read the items as they are now."""
        self._items = dataset.items

    def save(self, folder: Path) -> None:
        """Write the graph, the tokenizer and the weight."""
        self._scorer.save(folder)
        about = {"weight": self.weight, "quality": self.quality}
        (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote."""
        config = self.config
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self.weight, self.quality = about["weight"], about["quality"]
        self.depth = config.depth if self.weight else 0
        self._scorer = PairScorer.load(
            folder, max_tokens=config.max_tokens, threads=config.threads, batch_size=config.together
        )
        self.runner, self._items = self._scorer, dataset.items

    def open_rung(self, folder: Path, network: Network, dataset: Dataset) -> PairScorer:
        """See `Scaled.open_rung`."""
        config = self.config
        return PairScorer.load(folder, max_tokens=config.max_tokens, batch_size=config.together, network=network)


def _lift(top: Floats, rest: Floats) -> Floats:
    """Return what must be added to the scores of candidates [b, c] so that they stay above the rest, [b, 1]."""
    if not rest.shape[1]:
        return np.zeros((len(top), 1), np.float32)
    highest = rest.max(axis=1, keepdims=True)
    lowest = np.where(np.isneginf(top), np.inf, top).min(axis=1, keepdims=True)
    gap = highest - lowest
    below = np.isfinite(gap) & (gap >= 0)
    highest, gap = np.where(below, highest, 0), np.where(below, gap, 0)  # nothing is added to what has no end
    return np.where(below, gap + 1e-3 * np.maximum(np.abs(highest), 1), 0).astype(np.float32)
