"""From a search text to the query that the index answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tantivy import Query

from twofold.retrieval.analysis import Analyzer, Word, is_chinese
from twofold.retrieval.index import Index, some
from twofold.retrieval.vocabulary import Vocabulary

__all__ = ["Phrasing"]

EXPANSIONS = 20
"""Terms that stand for a beginning or for a mistyped word, at most."""
SCANNED = 2_000
"""Words with a prefix that are looked at to find the most frequent."""
LONGER = 0.8
"""How much a longer word counts beside one that was typed as it is."""
MISTYPED = 0.5
"""How much a similar word counts beside one that was typed as it is."""

Weighted = dict[str, float]
"""Terms and how much each counts."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A search text, read."""

    words: Sequence[Word]
    """The words that count."""
    query: Query | None
    """What finds them as they were typed; None where the index knows none of them."""
    terms: frozenset[str]
    """The terms of an item that are a match: the words' own, and those that they may stand for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrasing:
    """Turns texts into queries."""

    index: Index
    analyzer: Analyzer
    vocabulary: Vocabulary
    fields: Mapping[str, float]
    """The fields that are searched and how much each counts."""
    prefix: bool
    """Whether the last word of a text also stands for longer words that begin with it."""
    typos: tuple[int, ...]
    """From how many letters on 1, 2, … typos in a word are forgiven."""
    most_words: int
    """How many different words of a text count."""

    def phrase(self, text: str) -> Phrase:
        """Read a text."""
        parts: list[Query] = []
        words, terms = self._words(text), set[str]()
        for word in words:
            known = self.index.count(word.term) > 0
            others = self._expansions(word)
            terms |= {word.term, *others}
            if others:
                parts.append(self._any({**others, word.term: 1.0} if known else others))
            elif known:
                parts.extend(self.term(word.term, 1.0))
        return Phrase(words, some(parts) if parts else None, frozenset(terms))

    def _words(self, text: str) -> list[Word]:
        """Return the words of a text that count: of too many, the rarest, and the first of equally rare ones."""
        words = self.analyzer.query(text)
        if len(words) <= self.most_words:
            return words
        rarest = sorted(words, key=lambda word: self.index.count(word.term) or len(self.index) + 1)
        kept = set(rarest[: self.most_words])
        return [word for word in words if word in kept]

    def similar_query(self, words: Sequence[Word]) -> Query | None:
        """Return the query for words that differ from the given ones by typos and are no rarer; None without any."""
        parts = [self._any(terms) for word in words if (terms := self._similar(word))]
        return some(parts) if parts else None

    def _expansions(self, word: Word) -> Weighted:
        """Return the terms that a word may stand for beside its own: longer words, or similar ones if it is unknown."""
        found: Weighted = {}
        if self.prefix and word.last and len(word.text) > 1 and not is_chinese(word.text):
            longer = sorted(self.index.words(word.text, SCANNED), key=lambda pair: (-pair[1], pair[0]))
            found = self._shared([other for other, _ in longer[: 2 * EXPANSIONS]], word, LONGER)
        return found or ({} if self.index.count(word.term) else self._similar(word))

    def term(self, term: str, weight: float) -> list[Query]:
        """Return the queries for a term in each field that counts."""
        return [self.index.term(term, field, weight * counts) for field, counts in self.fields.items()]

    def forgiven(self, word: str) -> int:
        """Return how many typos in a word are forgiven."""
        if not word.isalpha() or is_chinese(word):
            return 0
        return sum(len(word) >= length for length in self.typos)

    def _similar(self, word: Word) -> Weighted:
        near = self.vocabulary.similar(word.text, self.forgiven(word.text), limit=EXPANSIONS)
        found = self._shared([other.word for other in near if other.distance == near[0].distance], word, MISTYPED)
        least = self.index.count(word.term)
        return {term: weight for term, weight in found.items() if self.index.count(term) >= least}

    def _shared(self, words: Sequence[str], typed: Word, share: float) -> Weighted:
        """Return the terms of words, weighted as if all were one word that counts `share`."""
        terms = dict.fromkeys(self.analyzer.terms.analyze(" ".join(words)))
        counts = {term: count for term in terms if term != typed.term and (count := self.index.count(term))}
        counts = dict(list(counts.items())[:EXPANSIONS])
        together = self.index.idf(min(sum(counts.values()), len(self.index)))
        return {term: share * min(1.0, together / self.index.idf(count)) for term, count in counts.items()}

    def _any(self, terms: Mapping[str, float]) -> Query:
        """Return a query in which the best of several terms counts."""
        return Query.disjunction_max_query([some(self.term(term, weight)) for term, weight in terms.items()])
