"""Text analysis: from any text to the terms that an index holds. Documents and queries go the same way."""

import logging
import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import Any, Literal

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

__all__ = ["Analyzer", "Language", "Word", "is_chinese"]

Language = Literal["en", "none"]

LONGEST_WORD = 64
"""Bytes; what is longer is no word of any language, and is left out."""
WORDS = 50_000
"""Words whose terms are kept."""
CHINESE = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
CHINESE_STOP_WORDS = frozenset("的了和是在也与及或而之着吗呢吧啊就都把被给这那个")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query: as it was written, folded, and the term that the index holds for it."""

    text: str
    term: str
    last: bool
    """Whether the text ends with it, so that more of it may come."""


class Analyzer:
    """Turns text into terms.

    Text is brought to Unicode's NFKC form, split at everything that is no letter or digit, lower-cased and
    folded to ASCII where that is possible (café = cafe), and English words are stemmed. Chinese and kana are
    cut with jieba into words, beside which stand all pairs of neighbouring characters, so that a part of a
    long word is found; documents hold the single characters too. Stop words are kept in documents, so that
    "It" finds a film of that name, and dropped from a query that has other words.

    Args:
        language: whose words are stemmed and which stop words are dropped; "none" for neither.
        chinese: whether documents have Chinese words, which is noted when one is met; jieba takes a second
            to load, so that a query alone does not load it.

    >>> [word.term for word in Analyzer("en").query("The Cafés, running")]
    ['cafe', 'run']
    """

    def __init__(self, language: Language, *, chinese: bool = False) -> None:
        self.language = language
        self.chinese = chinese
        self.of_word = lru_cache(WORDS)(self.split)  # splitting takes 6 µs, and snippets split 50 words a search
        """Returns the terms of a word of a document."""

    @cached_property
    def words(self) -> TextAnalyzer:
        """Splits, folds and does not stem."""
        return _chain().build()

    @cached_property
    def terms(self) -> TextAnalyzer:
        """Splits, folds and stems."""
        return (_chain().filter(Filter.stemmer("english")) if self.language == "en" else _chain()).build()

    @cached_property
    def _telling(self) -> TextAnalyzer:
        return (_chain().filter(Filter.stopword("english")) if self.language == "en" else _chain()).build()

    def document(self, text: str) -> str:
        """Return a text such that `words` and `terms` split it as they should."""
        self.chinese = self.chinese or (not text.isascii() and is_chinese(text))
        return _prepare(text, singles=True, cut=True)

    def folded(self, text: str) -> str:
        """Return a text of which `words` makes words as they were written, Chinese uncut."""
        return text if text.isascii() else _normal(text)

    def split(self, text: str) -> list[str]:
        """Return the terms of a document."""
        return self.terms.analyze(self.document(text))

    def query(self, text: str) -> list[Word]:
        """Return the words of a query in their order, each term once; stop words only where nothing else is there."""
        prepared = _prepare(text, singles=False, cut=self.chinese)
        pairs = list(zip(self.words.analyze(prepared), self.terms.analyze(prepared), strict=True))
        open_end = len(pairs) - 1 if text[-1:].isalnum() else len(pairs)
        found = list({term: Word(word, term, at == open_end) for at, (word, term) in enumerate(pairs)}.values())
        telling = set(self._telling.analyze(prepared)) - CHINESE_STOP_WORDS
        return [word for word in found if word.text in telling] or found

    def telling(self, text: str) -> list[str]:
        """Return the terms of a document without its stop words."""
        kept = self._telling.analyze(self.document(text))
        return self.terms.analyze(" ".join(word for word in kept if word not in CHINESE_STOP_WORDS))


def is_chinese(text: str) -> bool:
    """Return whether a text has Chinese or Japanese characters, which are cut rather than split."""
    return CHINESE.search(text) is not None


def _chain() -> TextAnalyzerBuilder:
    builder = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(LONGEST_WORD))
    return builder.filter(Filter.lowercase()).filter(Filter.ascii_fold())


def _prepare(text: str, *, singles: bool, cut: bool) -> str:
    if text.isascii():
        return text
    return CHINESE.sub(lambda run: f" {' '.join(_pieces(run[0], singles, cut))} ", _normal(text))


def _normal(text: str) -> str:
    """Return a text in NFKC form, with question marks for half characters, which no index can hold."""
    return unicodedata.normalize("NFKC", text.encode(errors="replace").decode())


def _pieces(run: str, singles: bool, cut: bool) -> Iterator[str]:
    words = _jieba().lcut(run) if cut else [run]
    yield from (word for word in words if len(word) > 1 or not singles)
    known = set(words)
    yield from (pair for pair in map("".join, pairwise(run)) if pair not in known)
    if singles:
        yield from run


@cache
def _jieba() -> Any:
    """Return jieba's cutter, loaded when the first Chinese text is met.

    Its dictionary is read from the package: the cache that it would keep is a file in a folder where anyone may write.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba  # noqa: PLC0415
    jieba.setLogLevel(logging.WARNING)
    cutter = jieba.Tokenizer()
    cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
    cutter.initialized = True
    return cutter
