"""Completions while typing: titles, the most liked first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from tantivy import Query

from twofold.core.ids import Codes
from twofold.retrieval.analysis import Analyzer
from twofold.retrieval.index import START, Index, every, some
from twofold.retrieval.vocabulary import Vocabulary

__all__ = ["Suggester"]

DEPTH = 5
"""Titles looked at for each that is wanted: some are equal, and some begin as typed, which puts them first."""
SPELLINGS = 5
"""Known words that a mistyped one may have meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggester:
    """Completes what is being typed to titles."""

    index: Index
    analyzer: Analyzer
    vocabulary: Vocabulary
    titles: pl.Series

    def suggest(
        self, prefix: str, k: int, typos: Callable[[str], int], allowed: npt.NDArray[np.bool_] | None = None
    ) -> list[str]:
        """Return up to k different titles.

        First those that begin as typed, then those that have words with these beginnings in any order, then,
        where they are too few, those with similar words; each kind by falling number of likes.

        Args:
            prefix: what was typed so far.
            k: how many titles.
            typos: how many typos in a word are forgiven.
            allowed: whose titles may appear, shape [items]; None where all may.
        """
        words = self.analyzer.words.analyze(self.analyzer.folded(prefix))
        if not words or k < 1:
            return []
        typed = " ".join(words)
        exact = self._titles(every([self._start(word) for word in words]), k, allowed)
        found = sorted(exact, key=lambda title: not self._plain(title).startswith(typed))
        if len(found) < k:
            groups = [list(self._spellings(word, typos(word))) for word in words]
            found += self._titles(every([some(group) for group in groups]), k, allowed)
        return list(dict.fromkeys(found))[:k]

    def _start(self, word: str) -> Query:
        return self.index.term(word[:START], "starts")

    def _spellings(self, word: str, distance: int) -> Iterator[Query]:
        yield self._start(word)
        for other in self.vocabulary.similar(word, distance, limit=SPELLINGS, prefix=True):
            yield self._start(other.word)

    def _titles(self, query: Query, k: int, allowed: npt.NDArray[np.bool_] | None) -> list[str]:
        hidden = 0 if allowed is None else int(np.count_nonzero(~allowed))
        codes: Codes = self.index.most_liked(query, DEPTH * k + hidden)
        if allowed is not None:
            codes = codes[allowed[codes]][: DEPTH * k]
        return [title for title in self.titles.gather(codes.astype(np.int64)) if title]

    def _plain(self, title: str) -> str:
        return " ".join(self.analyzer.words.analyze(self.analyzer.folded(title)))
