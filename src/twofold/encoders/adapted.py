"""`AdaptedEncoder`: learns in seconds, from searches and their answers, how search texts point at items."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core import Dataset, Encoder, Stage
from twofold.core.errors import ConfigError
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.core.stage import Modality
from twofold.encoders.session import unit

__all__ = ["AdaptedConfig", "AdaptedEncoder"]

Index = npt.NDArray[np.int64]
TOGETHER = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedConfig:
    """Options of `AdaptedEncoder`."""

    encoder: str = ""
    """The text encoder that is adapted, by its name in the recipe."""
    epochs: int = 16
    """How often each search is learned from, at most; what is best on searches put aside counts."""
    lr: float = 1e-3
    """The learning rate of Adam."""
    decay: float = 1e-3
    """How strongly the map is held near the one that changes nothing."""
    dropout: float = 0.1
    """Share of a search's numbers that are left out in training."""
    temperature: float = 0.05
    """Divides the cosines."""
    batch_size: int = 128
    """Searches in a batch."""
    rivals: int = 20_000
    """Items that the answers must beat in a batch; drawn anew for each where there are more."""
    held_out: float = 0.2
    """Share of the searches that are put aside to choose the epoch."""
    held_out_most: int = 500
    """Most searches that are put aside."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.rivals) < 1 or min(self.lr, self.temperature) <= 0:
            raise ValueError("adapting wants epochs, batch_size and rivals >= 1, and lr and temperature above 0.")
        if not 0 <= self.dropout < 1 or not 0 < self.held_out < 1 or min(self.decay, self.held_out_most) < 0:
            raise ValueError("adapting wants dropout from 0 and held_out above 0, both below 1, and nothing below 0.")


class AdaptedEncoder(Encoder):
    """Turns the vectors of search texts by a linear map that was learned from `Dataset.queries`.

    With q the vector of a search and v_i that of item i, both of the encoder that is adapted, the score is

        s(q, i) = (q + A q) · v_i

    A is 0 at first and minimises `-log softmax(s / temperature)[answer]` over all items, with weight decay. The
    items' vectors stay as they are: nothing is encoded anew, and a search costs one small product more. It is
    trained as long as is best for searches that are put aside (not at all, where nothing is better), then on all
    searches. Without searches that have answers it changes nothing.

    The setting is that of Faruqui et al., "Retrofitting" (NAACL 2015), and of bilinear ranking: Bai et al., "Supervised
    Semantic Indexing" (CIKM 2009).
    """

    Config: ClassVar[type] = AdaptedConfig
    state = ("map",)
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType({"encoder": Encoder})  # type: ignore[type-abstract]
    config: AdaptedConfig

    map: Floats
    """A', float32 [d, d]."""
    epochs: int
    """How often the searches were gone through; set by `fit`."""

    @property
    def reads(self) -> tuple[Modality, ...]:  # type: ignore[override]
        """What the encoder that is adapted reads.

        Raises:
            ConfigError: there is none.
        """
        return self._adapted.reads

    @property
    def vectors(self) -> Floats:  # type: ignore[override]
        """The items' vectors, those of the encoder that is adapted."""
        return self._adapted.vectors

    @property
    def _adapted(self) -> Encoder:
        encoder = self.linked.get("encoder")
        if not isinstance(encoder, Encoder):
            raise ConfigError("there is no encoder to adapt; set `encoder` to the name of one in [encode].")
        return encoder

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Learn the map and return self.

        Raises:
            ConfigError: no encoder is named, or it reads no text.
        """
        if "text" not in self.reads:
            raise ConfigError(f"the encoder {self.config.encoder!r} reads no text, so there is nothing to adapt.")
        rng = np.random.default_rng(rng)
        size, self.epochs = self.vectors.shape[1], 0
        self.map = np.zeros((size, size), np.float32)
        lesson = _Lesson.of(dataset, self._adapted)
        count = min(round(self.config.held_out * len(lesson)), self.config.held_out_most)
        if not count or count == len(lesson):
            return self
        order, seed = rng.permutation(len(lesson)), int(rng.integers(2**31))
        aside, kept = lesson.take(order[:count]), lesson.take(order[count:])
        tried = [(aside.quality(found), epoch) for epoch, found in self._learned(kept, self.config.epochs, seed)]
        self.epochs = max(tried, key=lambda pair: (pair[0], -pair[1]))[1]
        for _, found in self._learned(lesson, self.epochs, seed):
            self.map = found
        return self

    def _learned(self, lesson: "_Lesson", epochs: int, seed: int) -> Iterator[tuple[int, Floats]]:
        """Yield the epoch and the map after each epoch, and before the first; Adam as in Kingma & Ba, ICLR 2015."""
        config, rng, step = self.config, np.random.default_rng(seed), 0
        found = np.zeros_like(self.map)
        first, second = np.zeros_like(found), np.zeros_like(found)
        yield 0, found.copy()
        for epoch in range(1, epochs + 1):
            parts = max(1, len(lesson) // config.batch_size)
            for rows in np.array_split(rng.permutation(len(lesson)), parts):
                slope = lesson.take(rows).slope(found, config, rng) + 2 * config.decay * found
                step += 1
                first += 0.1 * (slope - first)
                second += 0.001 * (slope * slope - second)
                found -= config.lr * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            if self.progress:
                self.progress("adapting", epoch, epochs)
            yield epoch, found.copy()

    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of what people search with, float32 [b, d], of length 1; texts are mapped."""
        vectors = self._adapted.encode(values, modality)
        return unit(vectors + vectors @ self.map) if modality == "text" else vectors

    def encode_items(self, items: pl.DataFrame) -> Floats:
        """Return what the encoder that is adapted returns."""
        return self._adapted.encode_items(items)

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Do nothing: the encoder that is adapted has taken the change in already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """Searches as vectors [s, d], and for each the items that answer it, as codes."""

    queries: Floats
    answers: Sequence[Index]
    items: Floats
    """The vectors of all items, [n, d]."""

    def __len__(self) -> int:
        return len(self.queries)

    @classmethod
    def of(cls, dataset: Dataset, encoder: Encoder) -> "_Lesson":
        """Take the searches that have an answer with a vector."""
        vectors = encoder.vectors
        codes = dataset.item_ids.encode_series(dataset.queries["item"])
        answers: dict[str, set[int]] = {}
        for text, code, grade in zip(dataset.queries["text"], codes.tolist(), dataset.queries["grade"], strict=True):
            if grade > 0 and vectors[code].any():
                answers.setdefault(text, set()).add(code)
        texts = list(answers)
        parts = [encoder.encode(texts[start : start + TOGETHER], "text") for start in range(0, len(texts), TOGETHER)]
        queries = np.concatenate([np.empty((0, vectors.shape[1]), np.float32), *parts])
        known = np.flatnonzero(queries.any(axis=1))
        return cls(
            queries=queries[known],
            answers=[np.array(sorted(answers[texts[row]]), np.int64) for row in known],
            items=np.asarray(vectors),
        )

    def take(self, rows: Index) -> "_Lesson":
        """Return some of the searches."""
        return _Lesson(queries=self.queries[rows], answers=[self.answers[row] for row in rows], items=self.items)

    def slope(self, found: Floats, options: AdaptedConfig, rng: np.random.Generator) -> Floats:
        """Return the gradient of the mean loss of these searches, [d, d]."""
        items, answers = self._rivals(options.rivals, rng)
        kept = rng.random(self.queries.shape, np.float32) >= options.dropout
        seen: Floats = self.queries * kept / np.float32(1 - options.dropout)
        logits: Floats = (self.queries + seen @ found) @ items.T / np.float32(options.temperature)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        for row, right in enumerate(answers):
            logits[row, right] -= 1 / len(right)
        return (seen.T @ (logits @ items) / (options.temperature * len(self))).astype(np.float32)

    def _rivals(self, most: int, rng: np.random.Generator) -> tuple[Floats, Sequence[Index]]:
        """Return the vectors of the items that answers must beat, and where the answers are among them."""
        if len(self.items) <= most:
            return self.items, self.answers
        right = np.unique(np.concatenate(self.answers))
        drawn = np.union1d(right, rng.choice(len(self.items), most, replace=False))
        return self.items[drawn], [np.searchsorted(drawn, codes) for codes in self.answers]

    def quality(self, found: Floats) -> float:
        """Return the mean reciprocal rank of the best answer among all items; a tie counts against it."""
        ranks = np.empty(len(self))
        for start in range(0, len(self), TOGETHER):
            queries = self.queries[start : start + TOGETHER]
            scores = (queries + queries @ found) @ self.items.T
            for row, line in enumerate(scores, start):
                best = line[self.answers[row]].max()
                ranks[row] = max(1, (line >= best).sum())
        return float((1 / ranks).mean())
