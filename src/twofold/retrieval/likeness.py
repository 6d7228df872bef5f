"""What makes an item like others: its telling words and its categories."""

import math
from collections import Counter
from dataclasses import dataclass

import polars as pl
from tantivy import Query

from twofold.core.errors import ConfigError
from twofold.core.ids import Codes
from twofold.retrieval.analysis import Analyzer
from twofold.retrieval.index import Index, some
from twofold.retrieval.phrasing import Phrasing

__all__ = ["Like", "Likeness"]

Profile = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """Options of how items like given ones are found.

    Raises:
        ConfigError: an option is out of range.
    """

    items: int = 5
    """How many of the newest liked items count."""
    terms: int = 25
    """How many of their most telling words are searched for."""
    categories: float = 1.0
    """How much a category counts beside a word that is as rare."""

    def __post_init__(self) -> None:
        if self.items < 1 or self.terms < 1 or self.categories < 0:
            raise ConfigError("like needs items and terms of at least 1 and categories of at least 0; mend it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Describes items of a catalogue by terms, and asks for items with the same."""

    index: Index
    analyzer: Analyzer
    phrasing: Phrasing
    items: pl.DataFrame
    options: Like

    def query(self, codes: Codes) -> Query | None:
        """Return the query for items like given ones; None where nothing is known of them."""
        together: Counter[str] = Counter()
        groups: Counter[str] = Counter()
        for code in codes.tolist():
            together.update(self.profile(code))
            groups.update(self._categories(code))
        best = sorted(together.items(), key=lambda pair: (-pair[1], pair[0]))[: self.options.terms]
        parts = [part for term, weight in best for part in self.phrasing.term(term, weight / best[0][1])]
        share = self.options.categories / max(len(codes), 1)
        if share:
            parts += [self.index.term(term, "categories", share * count) for term, count in sorted(groups.items())]
        return some(parts) if parts else None

    def profile(self, code: int) -> Profile:
        """Return the terms of an item's title and text that other items have too: tf-idf, scaled to length 1."""
        title, text = self.items["title"][code], self.items["text"][code]
        counts = Counter(word.term for word in self.analyzer.query(title or ""))
        counts.update(self.analyzer.telling(text or ""))
        known = {term: self.index.count(term) for term in counts}
        weights = {
            term: (1 + math.log(count)) * self.index.idf(known[term])
            for term, count in counts.items()
            if known[term] > 1
        }
        length = math.hypot(*weights.values()) or 1.0
        return {term: weight / length for term, weight in weights.items()}

    def shared(self, code: int, other: int) -> float:
        """Return how much of two items' words is the same, from 0 to 1."""
        one, two = self.profile(code), self.profile(other)
        return math.fsum(one[term] * two[term] for term in one.keys() & two.keys())

    def _categories(self, code: int) -> list[str]:
        names = self.items["categories"][code]
        return self.analyzer.split("\n".join(name for name in names if name)) if names is not None else []
