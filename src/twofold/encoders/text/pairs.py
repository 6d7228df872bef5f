"""Pairs of texts that belong together: what people liked side by side, what answers a search, a title and its text.

Legend: t texts, n items, p pairs. The texts of the items come first, so an item's code is the place of its text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.query import Batch
from twofold.core.stage import Retriever
from twofold.data.texts import item_texts
from twofold.encoders.text.finetune import FineTune

__all__ = ["MINED", "Drawn", "HeldOut", "Pairs", "Search", "pairs_of", "search_with"]

Index = npt.NDArray[np.int64]

MINED = 30
"""Items found for a search that are looked through for hard negatives."""


class Search(Protocol):
    """What finds items by words, to mine hard negatives with."""

    def __call__(self, texts: Sequence[str]) -> Codes:
        """Return the items found for each text, the best first, int32 [b, k]; -1 where there is no more."""
        ...


def search_with(retriever: Retriever) -> Search:
    """Return the search of a fitted retriever that answers texts, `MINED` results each."""

    def search(texts: Sequence[str]) -> Codes:
        return retriever.score(Batch.of_texts(texts), "text").top(MINED)[0]

    return search


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Pairs as places of texts."""

    anchors: Index
    """Place of the text that asks, [p]."""
    positives: Index
    """Place of the text that answers, [p]."""
    ids: Index
    """The item that each positive stands for, [p]."""

    def __len__(self) -> int:
        return len(self.anchors)

    def take(self, rows: Index | slice) -> "Drawn":
        """Return some of the pairs."""
        return Drawn(anchors=self.anchors[rows], positives=self.positives[rows], ids=self.ids[rows])

    @classmethod
    def concatenate(cls, parts: Sequence["Drawn"]) -> "Drawn":
        """Put pairs behind each other."""
        columns = [[getattr(part, name) for part in parts] for name in ("anchors", "positives", "ids")]
        anchors, positives, ids = (np.concatenate([np.empty(0, np.int64), *column]) for column in columns)
        return cls(anchors=anchors, positives=positives, ids=ids)


class Source(Protocol):
    """A kind of pairs."""

    size: int
    """How many pairs it has to offer in an epoch."""

    def draw(self, count: int, rng: np.random.Generator) -> Drawn:
        """Return so many pairs by chance."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Pairs that were not learned from, and the texts among which each positive must be found."""

    pairs: Drawn
    candidates: Index
    """Places of texts, the positives among them, [c]."""
    ids: Index
    """The item that each candidate stands for, [c]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """All that a text encoder is fine-tuned on."""

    texts: Sequence[str]
    """[t]."""
    asks: npt.NDArray[np.bool_]
    """Which texts are searches and not documents, [t]."""
    items: int
    sources: Mapping[str, tuple[Source, float]]
    """Kinds of pairs, and how much of its offer each gives to an epoch."""
    known: Index
    """`anchor * items + item` of all that belongs together and so is no negative, rising."""
    held_out: Sequence[HeldOut]
    hard: Mapping[int, Codes]
    """Place of a text to items that a lexical index finds for it though they are no answer."""

    @property
    def size(self) -> int:
        """Pairs of an epoch."""
        return sum(round(source.size * share) for source, share in self.sources.values())

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Return the pairs of an epoch, well mixed."""
        parts = [source.draw(round(source.size * share), rng) for source, share in self.sources.values()]
        drawn = Drawn.concatenate(parts)
        return drawn.take(rng.permutation(len(drawn)))

    def belongs(self, anchors: Index, ids: Index) -> npt.NDArray[np.bool_]:
        """Say which items belong to which anchors, [anchors, ids]."""
        keys = anchors[:, None] * self.items + ids
        place = np.minimum(np.searchsorted(self.known, keys), max(len(self.known) - 1, 0))
        return self.known[place] == keys if len(self.known) else np.zeros(keys.shape, bool)


class _Together:
    """Items that people liked within a few likes of each other, each drawn less often the more popular it is.

    A like is drawn with a probability that falls with the popularity of its item as `count ** -power`, then one
    of its neighbours in the same history in the same way; so the popular do not make up all of the pairs.
    """

    def __init__(self, likes: Histories, counts: npt.NDArray[np.int64], options: FineTune) -> None:
        self.likes, self.window = likes, options.window
        self.log_weights = -options.popularity * np.log(np.maximum(counts, 1.0))[likes.items]
        self.sociable = np.flatnonzero((likes.lengths > 1)[likes.rows])
        weights = np.exp(self.log_weights[self.sociable])
        self.chances = weights / weights.sum() if len(weights) else weights
        self.size = min(len(self.sociable), options.pairs)

    def draw(self, count: int, rng: np.random.Generator) -> Drawn:
        """Return pairs of items."""
        events = rng.choice(self.sociable, count, p=self.chances) if count else self.sociable[:0]
        return self.partners(events, rng)

    def partners(self, events: Index, rng: np.random.Generator) -> Drawn:
        """Return one pair for each of some likes, whose item is the positive."""
        steps = np.concatenate((np.arange(-self.window, 0), np.arange(1, self.window + 1)))
        rows = self.likes.rows[events]
        near = events[:, None] + steps
        inside = (near >= self.likes.indptr[rows, None]) & (near < self.likes.indptr[rows + 1, None])
        near = np.where(inside, near, 0)
        inside &= self.likes.items[near] != self.likes.items[events, None]
        chance = np.where(inside, self.log_weights[near] + rng.gumbel(size=near.shape), -np.inf)
        chosen = np.take_along_axis(near, chance.argmax(axis=1)[:, None], axis=1)[:, 0]
        kept = inside.any(axis=1)
        here, there = (self.likes.items[found[kept]].astype(np.int64) for found in (events, chosen))
        return Drawn(anchors=there, positives=here, ids=here)


class _Listed:
    """Pairs that are known one by one; each is drawn once before any is drawn twice."""

    def __init__(self, pairs: Drawn, limit: int) -> None:
        self.pairs, self.size = pairs, min(len(pairs), limit)

    def draw(self, count: int, rng: np.random.Generator) -> Drawn:
        """Return some of the pairs."""
        rounds = -(-count // max(len(self.pairs), 1))
        rows = np.concatenate([np.empty(0, np.int64), *(rng.permutation(len(self.pairs)) for _ in range(rounds))])
        return self.pairs.take(rows[:count])


def pairs_of(
    dataset: Dataset, options: FineTune, *, rng: np.random.Generator | int | None = None, search: Search | None = None
) -> Pairs:
    """Gather the pairs of a dataset, and put some aside to measure with.

    Of what people liked together, whole items are put aside, so that the quality tells how well new items are
    understood; of searches, whole searches.

    Args:
        dataset: items, what people did, and, where there are any, searches with their answers.
        options: which kinds of pairs count how much.
        rng: what is put aside.
        search: finds hard negatives for searches; none are mined without it.
    """
    rng = np.random.default_rng(rng)
    items = dataset.items
    texts, asks = item_texts(items), [False] * len(items)
    told = np.array([bool(text) for text in texts], bool)
    sources: dict[str, tuple[Source, float]] = {}
    held_out: list[HeldOut] = []
    itself = np.flatnonzero(told)
    known = [itself * len(items) + itself]
    hard: dict[int, Codes] = {}
    if options.likes:
        source, held = _liked(dataset, told, options, rng)
        sources["likes"], held_out = (source, options.likes), held_out + held
    if options.queries and len(dataset.queries):
        answers = _answers(dataset, told, texts, asks)
        known.append(answers.anchors * len(items) + answers.ids)
        kept, held = _part_answers(answers, itself, options, rng)
        sources["queries"], held_out = (_Listed(kept, options.pairs), options.queries), held_out + held
        if search is not None and options.hard:
            hard = _mine(kept, texts, np.sort(np.concatenate(known)), len(items), search)
    if options.fields:
        fields = _fields(items, texts, asks)
        known.append(fields.anchors * len(items) + fields.ids)
        sources["fields"] = (_Listed(fields, options.pairs), options.fields)
    return Pairs(
        texts=texts,
        asks=np.array(asks, bool),
        items=len(items),
        sources={name: source for name, source in sources.items() if source[0].size},
        known=np.unique(np.concatenate(known)),
        held_out=[held for held in held_out if len(held.pairs)],
        hard=hard,
    )


def _liked(
    dataset: Dataset, told: npt.NDArray[np.bool_], options: FineTune, rng: np.random.Generator
) -> tuple[Source, list[HeldOut]]:
    """Return what was liked together without some items, and pairs that lead to these."""
    likes = dataset.log.likes()
    likes = likes.where(told[likes.items])
    counts = np.bincount(likes.items, minlength=len(told))
    liked = np.flatnonzero(counts)
    aside = rng.choice(liked, min(round(options.held_out * len(liked)), options.held_out_most), replace=False)
    hidden = np.isin(likes.items, aside)
    whole = _Together(likes, counts, options)
    sought = whole.sociable[hidden[whole.sociable]]
    sought = rng.choice(sought, min(len(sought), options.held_out_most), replace=False)
    pairs = whole.partners(np.sort(sought), rng)
    pairs = pairs.take(np.flatnonzero(~np.isin(pairs.anchors, aside)))
    among = np.sort(aside).astype(np.int64)
    return _Together(likes.where(~hidden), counts, options), [HeldOut(pairs=pairs, candidates=among, ids=among)]


def _answers(dataset: Dataset, told: npt.NDArray[np.bool_], texts: list[str], asks: list[bool]) -> Drawn:
    """Put the searches behind the other texts, and return the pairs of search and answer."""
    right = dataset.queries.filter((pl.col("grade") > 0) & (pl.col("text").str.strip_chars() != ""))
    asked = right["text"].unique(maintain_order=True)
    places = {text: len(texts) + place for place, text in enumerate(asked)}
    texts += asked.to_list()
    asks += [True] * len(asked)
    anchors = np.array([places[text] for text in right["text"]], np.int64)
    ids = dataset.item_ids.encode_series(right["item"]).astype(np.int64)
    readable = told[ids] if len(ids) else np.zeros(0, bool)
    return Drawn(anchors=anchors[readable], positives=ids[readable], ids=ids[readable])


def _part_answers(
    answers: Drawn, documents: Index, options: FineTune, rng: np.random.Generator
) -> tuple[Drawn, list[HeldOut]]:
    """Put some searches aside, with other documents to tell their answers from."""
    asked = np.unique(answers.anchors)
    aside = rng.choice(asked, min(round(options.held_out * len(asked)), options.held_out_most), replace=False)
    hidden = np.isin(answers.anchors, aside)
    held = answers.take(np.flatnonzero(hidden))
    others = rng.choice(documents, min(len(documents), options.held_out_most), replace=False)
    among = np.union1d(held.positives, others)
    return answers.take(np.flatnonzero(~hidden)), [HeldOut(pairs=held, candidates=among, ids=among)]


def _fields(items: pl.DataFrame, texts: list[str], asks: list[bool]) -> Drawn:
    """Put titles and descriptions behind the other texts, and return the pairs of them."""
    given = items.select(pl.col("title", "text").fill_null("").str.strip_chars())
    ids = np.flatnonzero(given.select((pl.col("title") != "") & (pl.col("text") != "")).to_series())
    start = len(texts)
    for name, searched in (("title", True), ("text", False)):
        texts += given[name].gather(ids).to_list()
        asks += [searched] * len(ids)
    return Drawn(anchors=start + np.arange(len(ids)), positives=start + len(ids) + np.arange(len(ids)), ids=ids)


def _mine(pairs: Drawn, texts: Sequence[str], known: Index, items: int, search: Search) -> dict[int, Codes]:
    """Return what a search finds for each anchor that is no answer of it."""
    anchors = np.unique(pairs.anchors)
    found = search([texts[anchor] for anchor in anchors])
    mined = {}
    for anchor, codes in zip(anchors.tolist(), found, strict=True):
        readable = codes[[code >= 0 and bool(texts[code]) for code in codes.tolist()]]
        wrong = readable[~np.isin(anchor * items + readable.astype(np.int64), known)]
        if len(wrong):
            mined[anchor] = wrong
    return mined
