"""Lexical retrieval: BM25 over what a catalogue says of its items."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from tantivy import Query

from twofold.core import Batch, Dataset, Evidence, Expander, Histories, Retriever, SparseScores, Stage
from twofold.core.errors import ConfigError, DataError, nearest
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.retrieval.analysis import Analyzer, Language
from twofold.retrieval.index import Index, attribute_columns
from twofold.retrieval.likeness import Like, Likeness
from twofold.retrieval.phrasing import Phrasing
from twofold.retrieval.snippets import snippet
from twofold.retrieval.suggest import Suggester
from twofold.retrieval.vocabulary import Vocabulary

__all__ = ["Lexical", "LexicalConfig", "Like"]

FEW = 1_000
"""So few allowed items are named in the query itself, at 10 µs each; where more are allowed, it is asked for
more hits until enough of them are."""
ENOUGH = 10
"""Where exact words find fewer items, those that similar words find are put below."""

KEPT = 1_024
"""Texts that were read last are kept: each is read to find items, and again to say where it matches them."""

Hits = tuple[Codes, Floats]
NOTHING: Hits = (np.empty(0, np.int32), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalConfig:
    """Options of `Lexical`.

    Raises:
        ConfigError: an option is out of range.
    """

    title: float = 0.2
    """How much a match in the title counts more; a match anywhere counts 1."""
    categories: float = 0.0
    """How much a match in the categories counts more."""
    attributes: float = 0.0
    """How much a match in another attribute counts more."""
    language: Language = "en"
    """Whose words are stemmed, and whose stop words are dropped from queries."""
    prefix: bool = True
    """Whether the last word of a text also stands for longer words that begin with it."""
    typos: tuple[int, ...] = (4, 8)
    """From how many letters on 1, 2, … typos in a word are forgiven; empty for none."""
    words: int = 64
    """How many different words of a text are searched for: the rarest, the first of equally rare ones."""
    hits: int = 1_000
    """How many items are found, at most."""
    like: Like = field(default_factory=Like)
    expansion: str = ""
    """The stage of the recipe that writes more about items, such as the queries that an item answers; what it
    wrote is searched with the rest, and never shown. Empty for none."""

    def __post_init__(self) -> None:
        if min(self.title, self.categories, self.attributes) < 0:
            raise ConfigError("the weights of fields must be at least 0; a weight of 0 adds nothing.")
        if self.hits < 1 or self.words < 1:
            raise ConfigError("hits and words must be at least 1; raise them.")
        if len(self.typos) > 2 or list(self.typos) != sorted(self.typos) or min(self.typos, default=1) < 1:
            raise ConfigError("typos lists at most 2 rising word lengths, such as [4, 8]; mend it.")


class Lexical(Retriever):
    """Finds items by the words that a catalogue uses for them.

    For a text, the score is BM25, summed over fields f with weights w and the terms t of the text:

        score(i) = Σ_f w_f Σ_t idf_f(t) tf_f(t, i) (k1 + 1) / (tf_f(t, i) + k1 (1 - b + b |i|_f / mean |i|_f))

    with k1 = 1.2 and b = 0.75, which the engine, tantivy, does not let one change. Field `all` holds all
    that is said of an item and weighs 1. Words that a beginning or a mistyped word may stand for count half
    and share the document frequency of a single word. Typos are looked for only where a word is unknown, or
    where the exact words find too little; then what only similar words find stays below all that exact words
    found. Any text is data: nothing in it is read as query syntax.

    For items and histories, the score is the same sum for the most telling words of those items, by tf-idf.

    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
    """

    Config: ClassVar[type] = LexicalConfig
    config: LexicalConfig
    evidence: ClassVar[tuple[Evidence, ...]] = ("text", "items", "history")
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType({"expansion": Expander})  # type: ignore[type-abstract]

    _index: Index
    _vocabulary: Vocabulary
    _items: pl.DataFrame

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Index a catalogue and return self."""
        self._analyzer = Analyzer(self.config.language)
        writer: Expander | None = self.linked.get("expansion")
        self._index = Index.build(dataset, self._analyzer, writer.expansions if writer else None)
        self._vocabulary = Vocabulary.of(self._index.words())
        self._use(dataset)
        return self

    def save(self, folder: Path) -> None:
        """Write the index and the vocabulary into an existing, empty folder."""
        self._index.save(folder / "index")
        about = {"chinese": self._analyzer.chinese}
        (folder / "analysis.json").write_text(json.dumps(about), encoding="utf-8")
        (folder / "vocabulary").mkdir()
        self._vocabulary.save(folder / "vocabulary")

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Open what `save` wrote, for reading only; the files are memory-mapped."""
        about = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
        self._analyzer = Analyzer(self.config.language, chinese=bool(about["chinese"]))
        self._index = Index(folder / "index", self._analyzer)
        self._vocabulary = Vocabulary.load(folder / "vocabulary")
        self._use(dataset)

    def _use(self, dataset: Dataset) -> None:
        config, self._items = self.config, dataset.items
        weights = {"title": config.title, "categories": config.categories}
        if attribute_columns(dataset.items):
            weights["attributes"] = config.attributes
        self._phrasing = Phrasing(
            index=self._index,
            analyzer=self._analyzer,
            vocabulary=self._vocabulary,
            fields={"all": 1.0, **{name: weight for name, weight in weights.items() if weight > 0}},
            prefix=config.prefix,
            typos=config.typos,
            most_words=config.words,
        )
        self._phrase = lru_cache(KEPT)(self._phrasing.phrase)
        self._shown = dataset.items.select("title", "text")
        self._likeness = Likeness(
            index=self._index,
            analyzer=self._analyzer,
            phrasing=self._phrasing,
            items=dataset.items,
            options=config.like,
        )
        self._suggester = Suggester(
            index=self._index, analyzer=self._analyzer, vocabulary=self._vocabulary, titles=dataset.items["title"]
        )

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Index what changed; words that only the older descriptions had stay known to the search for typos."""
        writer: Expander | None = self.linked.get("expansion")
        self._analyzer = Analyzer(self.config.language, chinese=self._analyzer.chinese)
        self._index = self._index.put(dataset, self._analyzer, changed, writer.expansions if writer else None)
        self._vocabulary = Vocabulary.of(self._index.words())
        self._use(dataset)

    def score(self, batch: Batch, evidence: Evidence) -> SparseScores:
        """Return up to `hits` allowed items for each query; see `Retriever.score`."""
        found = []
        for row in range(len(batch)):
            allowed = None if batch.allowed is None else batch.allowed[row]
            if evidence == "text":
                found.append(self._search(batch.texts[row] or "", allowed))
            else:
                query = self._likeness.query(self._seeds(batch, row, evidence).items)
                found.append(NOTHING if query is None else self._best(query, allowed))
        codes, scores = zip(*found, strict=True) if found else ((), ())
        return SparseScores(
            Histories(
                indptr=np.cumsum([0, *map(len, codes)], dtype=np.int64),
                items=np.concatenate([np.empty(0, np.int32), *codes]),
                values=np.concatenate([np.empty(0, np.float32), *scores]),
                timestamps=np.zeros(sum(map(len, codes)), np.int64),
            )
        )

    def contributions(self, batch: Batch, evidence: Evidence, items: Codes) -> Floats | None:
        """Return how much of the words of items each of the newest liked events shares, float32 [events, items]."""
        if evidence not in ("items", "history"):
            return None
        events = batch.events(evidence)
        amounts = np.zeros((len(events.items), len(items)), np.float32)
        for at in np.flatnonzero(events.values > 0)[-self.config.like.items :]:
            seed = int(events.items[at])
            amounts[at] = [self._likeness.shared(seed, item) for item in items.tolist()]
        return amounts

    def matching(self, text: str) -> Codes:
        """Return all items that match a text, rising; similar words count only where a word is unknown."""
        query = self._phrase(text).query
        return np.empty(0, np.int32) if query is None else np.sort(self._index.matching(query))

    def facets(self, text: str | None, column: str, allowed: npt.NDArray[np.bool_] | None = None) -> dict[object, int]:
        """Return how many items that match a text have each value of a column, the most frequent first.

        Args:
            text: what to search for; None counts all items. Similar words count only where a word is unknown.
            column: a column of the catalogue; each value of a list counts once an item.
            allowed: which items count, shape [items]; None where all do.

        Raises:
            DataError: there is no such column.
        """
        if column not in self._items.columns:
            raise DataError(f"no item has a column {column!r} to count; {nearest(column, self._items.columns)}")
        codes = np.arange(len(self._items), dtype=np.int32) if text is None else self.matching(text)
        if allowed is not None:
            codes = codes[allowed[codes]]
        values = self._items[column].gather(codes.astype(np.int64))
        if isinstance(values.dtype, pl.List):
            values = values.list.unique().explode()
        counts = Counter(value for value in values if value is not None)
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0]))))

    def suggest(self, prefix: str, k: int = 10, allowed: npt.NDArray[np.bool_] | None = None) -> list[str]:
        """Return titles that complete what is being typed; see `Suggester.suggest`."""
        return self._suggester.suggest(prefix, k, self._phrasing.forgiven, allowed)

    def snippets(self, text: str, items: Sequence[int]) -> Mapping[int, str]:
        """Return where a search text matches items, in the text or else the title: HTML whose only tags are <b>."""
        terms, of_word, found = self._phrase(text).terms, self._analyzer.of_word, dict[int, str]()

        def is_hit(word: str) -> bool:
            return not terms.isdisjoint(of_word(word))

        for item in items:
            title, body = self._shown.row(item)  # some rows one by one take a quarter of the time of a cut
            for part in (body, title):
                told = snippet(part, is_hit) if part else ""
                if "<b>" in told:
                    found[item] = told
                    break
                if told:
                    found.setdefault(item, told)
        return found

    def _search(self, text: str, allowed: npt.NDArray[np.bool_] | None) -> Hits:
        phrase = self._phrase(text)
        codes, scores = NOTHING if phrase.query is None else self._best(phrase.query, allowed)
        if len(codes) >= min(ENOUGH, self.config.hits):
            return codes, scores
        similar = self._phrasing.similar_query(phrase.words)
        if similar is None:
            return codes, scores
        more, theirs = self._best(similar, allowed)
        new = ~np.isin(more, codes)
        if len(codes) and new.any():
            theirs = theirs * np.float32(0.9 * scores.min() / theirs.max())
        return (
            np.concatenate((codes, more[new]))[: self.config.hits],
            np.concatenate((scores, theirs[new]))[: self.config.hits],
        )

    def _best(self, query: Query, allowed: npt.NDArray[np.bool_] | None) -> Hits:
        """Return the best allowed items, `hits` of them where so many match."""
        wanted, size = self.config.hits, len(self._index)
        if allowed is None:
            return self._index.search(query, wanted)
        left = int(np.count_nonzero(allowed))
        if not left:
            return NOTHING
        hidden = size - left
        if hidden > wanted and left <= FEW:
            return self._index.search(self._index.among(query, np.flatnonzero(allowed)), wanted)
        limit = wanted + min(hidden, wanted)
        while True:
            codes, scores = self._index.search(query, limit)
            kept = allowed[codes]
            if kept.sum() >= wanted or len(codes) < limit or limit >= size:
                return codes[kept][:wanted], scores[kept][:wanted]
            limit = min(8 * limit, size)

    def _seeds(self, batch: Batch, row: int, evidence: Evidence) -> Histories:
        return batch.events(evidence).row(row).likes().last(self.config.like.items)
