"""Grounding: whether a sentence that a model wrote speaks of the evidence and of nothing else."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from twofold.encoders.generate.words import ARTICLES, COMMON, FUNCTION, NUMBERS

__all__ = ["Checker", "Evidence"]

SHORTEST, LONGEST = 4, 40
"""Words of a sentence."""
LETTERS = 240
"""Characters of a sentence, at most."""
TEXTS = 5_000
"""Texts that are looked through for words that are written small."""
LIKED = frozenset({"liked", "loved", "enjoyed", "watched", "seen"})
FEW = 3
"""In so many texts a word must be written small to be no name."""
TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+(?:['’][^\W_]+)*"
)
"""A word, or one Chinese character."""
MARKUP = re.compile(r"[<>\[\]{}|\\@#*_~`^=/]|www|http")
PAIRS = (
    ("“", "”"),
    ("„", "“"),
    ("«", "»"),
    ("「", "」"),
    ("『", "』"),
    ("《", "》"),
    ("〈", "〉"),
    ('"', '"'),
    ("‘", "’"),
)
QUOTED = re.compile("|".join(f"{a}([^{b}]*){b}" for a, b in PAIRS) + r"|(?<![^\s(])'([^']+(?:'\w[^']*)*)'(?!\w)")
LONE = re.compile('[“”„«»「」『』《》〈〉"]')
PART = re.compile(r"\s*[:({\[/|–—;]\s*|\s+-\s+")
YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
INVERTED = re.compile(r"^(.*),\s*(the|an?|l[aeo]s?|l'|el|il|der|die|das|les|los|las|un|une)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a sentence may speak of."""

    titles: Sequence[str]
    """The recommended item first, then those that are cited."""
    categories: Sequence[str] = ()
    """Of all of them."""
    text: str = ""
    """What the catalogue says of them."""


@dataclass(frozen=True, slots=True)
class _Token:
    raw: str
    folded: str
    start: int
    end: int
    first: bool
    """Whether a sentence begins with it."""

    @property
    def capital(self) -> bool:
        return self.raw != self.raw.lower()

    @property
    def small(self) -> bool:
        """Whether it is written as ordinary words are: small, or at the beginning."""
        small = self.raw == self.raw.lower() != self.raw.upper()
        return small or (self.first and self.raw[1:] == self.raw[1:].lower())


Span = tuple[int, int]


class Checker:
    """Finds what is wrong with a sentence, given the evidence.

    It errs on the side of refusing: a sentence that is refused is replaced, one that names what nobody has seen
    misleads. Every word must be a common one or one of the evidence, and what is written large must be so there.
    Whether a sentence is true it cannot tell.

    Titles are compared without case, accents, punctuation, articles and the marks of the genitive, with "2", "two"
    and "II" alike, joined ("Spider-Man" = "Spiderman") and by their part before a colon or a bracket. A title of one
    word that is also a common one ("It", "Up", "Heat") is a name where it is written large, unless it begins the
    sentence.

    Args:
        titles: of the whole catalogue.
        categories: all that there are.
        texts: of items; words that are often written small there are no names.
    """

    def __init__(
        self, titles: Iterable[str | None], categories: Iterable[str] = (), texts: Iterable[str | None] = ()
    ) -> None:
        self._titles = {key for title in titles if title for key in title_keys(title)}
        self._longest = max(map(len, self._titles), default=0)
        self._categories = {_category(name) for name in categories} - {""}
        seen: Counter[str] = Counter()
        for _, text in zip(range(TEXTS), (text for text in texts if text), strict=False):
            seen.update({token.folded for token in _tokens(text) if not token.capital})
        self._ordinary = COMMON | {word for word, count in seen.items() if count >= FEW}

    def fault(self, sentence: str, evidence: Evidence) -> str | None:
        """Return what is wrong with a sentence, or None where nothing is."""
        text = unicodedata.normalize("NFKC", sentence)
        if any(unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Cn") for letter in sentence + text):
            return "it has characters that cannot be seen"
        tokens = _tokens(text)
        keys = {key for title in evidence.titles for key in title_keys(title)}
        spans = [span for span, _ in _matches(tokens, keys, max(map(len, keys), default=0))]
        outside = [not any(start <= place < end for start, end in spans) for place in range(len(tokens))]
        return (
            self._form(text, tokens, spans)
            or _repetition(tokens, outside, spans)
            or _quotes(text, tokens, outside)
            or self._titles_named(tokens, evidence, spans)
            or self._claims(tokens, evidence, spans)
            or self._words(tokens, evidence, spans, outside)
            or _familiar(tokens, evidence, spans)
            or self._cites(tokens, evidence, spans)
        )

    def _form(self, text: str, tokens: Sequence[_Token], spans: Sequence[Span]) -> str | None:
        if not SHORTEST <= len(tokens) <= LONGEST or len(text) > LETTERS:
            return f"it has {len(tokens)} words and {len(text)} characters"
        if MARKUP.search(text.casefold()):
            return "it has marks that belong in no sentence"
        named = [(tokens[start].start, tokens[end - 1].end) for start, end in spans]
        for mark in re.finditer(r"[.!?:;…。！？]", text.rstrip().rstrip(".!?…")):
            if not any(start <= mark.start() < end for start, end in named):
                return "it is more than a sentence"
        return None

    def _titles_named(self, tokens: Sequence[_Token], evidence: Evidence, spans: Sequence[Span]) -> str | None:
        """Find a title of the catalogue that is no part of a title of the evidence."""
        spoken = {token.folded for token in _tokens(evidence.text)}
        grouped = {token.folded for name in evidence.categories for token in _tokens(name)}
        for (start, end), _ in _matches(tokens, self._titles, self._longest):
            if any(first <= start and end <= last for first, last in spans):
                continue
            said = tokens[start:end]
            if len(said) == 1:
                known = grouped | ((self._ordinary | spoken) if said[0].small else frozenset())
                if said[0].folded in known:
                    continue
            elif all(token.folded in FUNCTION and token.small for token in said):
                continue
            return f"it names “{' '.join(token.raw for token in said)}”, which is not in the evidence"
        return None

    def _words(
        self, tokens: Sequence[_Token], evidence: Evidence, spans: Sequence[Span], outside: Sequence[bool]
    ) -> str | None:
        """Find a word that is neither common nor in the evidence, or written large and not so there."""
        said = _tokens(evidence.text)
        named = {token.folded for name in (*evidence.titles, *evidence.categories) for token in _tokens(name)}
        large = named | {token.folded for token in said if token.capital} | {"i", "im", "ive"}
        words = COMMON | ARTICLES | large | {_stem(token.folded) for token in said} | {_stem(word) for word in named}
        letters = set(_folded(" ".join((*evidence.titles, *evidence.categories, evidence.text))))
        after = {end for _, end in spans}
        for place, token in enumerate(tokens):
            if not outside[place]:
                continue
            if any(not letter.isascii() and letter not in letters for letter in token.folded):
                return f"it is in another script (“{token.raw}”)"
            if place in after and token.folded in NUMBERS:
                return f"it numbers a title (“{token.raw}”)"
            if not words & {token.folded, _stem(token.folded)} or (
                token.capital and token.folded not in large and not (token.first and token.folded in COMMON)
            ):
                return f"it says “{token.raw}”, which the evidence does not"
        return None

    def _claims(self, tokens: Sequence[_Token], evidence: Evidence, spans: Sequence[Span]) -> str | None:
        """Find a category that nothing in the evidence belongs to."""
        given = {_category(name) for name in evidence.categories}
        given |= {_stem(token.folded) for token in _tokens(evidence.text)}
        stems = [_Token(t.raw, _stem(t.folded), t.start, t.end, t.first) for t in tokens]
        wrong = self._categories - given
        for (start, end), _ in _matches(stems, wrong, max(map(len, wrong), default=0)):
            if not any(first <= start and end <= last for first, last in spans):
                return f"it says “{' '.join(token.raw for token in tokens[start:end])}”, which the evidence does not"
        return None

    def _cites(self, tokens: Sequence[_Token], evidence: Evidence, spans: Sequence[Span]) -> str | None:
        """Find that no cited item is named, for what stands within the name of another is not named."""
        cited = {key for title in evidence.titles[1:] or evidence.titles for key in title_keys(title)}
        for (start, end), _ in _matches(tokens, cited, max(map(len, cited), default=0)):
            within = any(a <= start and end <= b and (a, b) != (start, end) for a, b in spans)
            said = tokens[start:end]
            if not within and (len(said) > 1 or said[0].capital or said[0].raw.upper() == said[0].raw):
                return None
        return "it names nothing of the evidence"


def title_keys(title: str) -> set[str]:
    """Return how a title may be written, without blanks: whole, its first part, its numbers in other forms.

    >>> sorted(title_keys("Matrix, The (1999)"))
    ['matrix']
    >>> sorted(title_keys("Toy Story 2"))
    ['toystory2', 'toystoryii', 'toystorytwo']
    >>> sorted(title_keys("Star Wars: Episode IV - A New Hope"))
    ['starwars', 'starwarsepisode4newhope', 'starwarsepisodefournewhope', 'starwarsepisodeivnewhope']
    """
    title = unicodedata.normalize("NFKC", title)
    title = YEAR.sub("", title) or title
    keys: set[str] = set()
    for part in {title, PART.split(title)[0] or title}:
        tokens = _tokens(INVERTED.sub(r"\2 \1", part.strip()))
        for spelled in (
            [token.folded for token in tokens],
            [_folded(token.raw).replace("'", "").replace("’", "") for token in tokens],
        ):
            words = [word for word in spelled if word not in ARTICLES] or spelled
            forms = [NUMBERS.get(word, (word,)) for word in words]
            keys |= {"".join(form[number % len(form)] for form in forms) for number in range(3)}
    return keys - {""}


def _tokens(text: str) -> list[_Token]:
    """Return the words of a text, articles left out where there are others."""
    text = unicodedata.normalize("NFKC", text).replace("&", "＆")
    found: list[_Token] = []
    end = 0
    for match in re.finditer(rf"＆|{TOKEN.pattern}", text):
        raw = "and" if match[0] == "＆" else match[0]
        between = text[end : match.start()]
        first = not found or re.search(r"[.!?:…。！？]", between) is not None
        folded = re.sub(r"['’]", "", re.sub(r"['’]s$", "", _folded(raw)))
        found.append(_Token(raw, folded, match.start(), match.end(), first))
        end = match.end()
    return found


def _folded(text: str) -> str:
    """Return a text without case and accents."""
    parted = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", "".join(letter for letter in parted if not unicodedata.combining(letter)))


def _matches(tokens: Sequence[_Token], keys: set[str], longest: int) -> list[tuple[Span, str]]:
    """Return all runs of words that, joined and without articles, are one of the keys."""
    found = []
    for start, token in enumerate(tokens):
        if token.folded in ARTICLES and len(tokens) > 1 and token.folded not in keys:
            continue
        joined = ""
        for end in range(start, len(tokens)):
            if tokens[end].folded not in ARTICLES or tokens[end].folded in keys:
                joined += tokens[end].folded
            if len(joined) > longest:
                break
            if joined in keys and (tokens[end].folded not in ARTICLES or end == start):
                found.append(((start, end + 1), joined))
    return found


def _repetition(tokens: Sequence[_Token], outside: Sequence[bool], spans: Sequence[Span]) -> str | None:
    words = [token.folded if out else "" for token, out in zip(tokens, outside, strict=True)]
    runs = [run for run in zip(words, words[1:], words[2:], strict=False) if all(run)]
    if len(set(runs)) < len(runs) or any(a == b != "" for a, b in pairwise(words)):
        return "it repeats itself"
    named = Counter("".join(token.folded for token in tokens[start:end]) for start, end in spans)
    return "it repeats a title" if any(count > 2 for count in named.values()) else None


def _familiar(tokens: Sequence[_Token], evidence: Evidence, spans: Sequence[Span]) -> str | None:
    """Find that the recommended item is said to be known and liked already."""
    new = title_keys(evidence.titles[0]) if evidence.titles else set()
    for (start, end), _ in _matches(tokens, new, max(map(len, new), default=0)):
        within = any(a <= start and end <= b and (a, b) != (start, end) for a, b in spans)
        before = {token.folded for token in tokens[max(start - 3, 0) : start]}
        cited = any(title_keys(title) & new for title in evidence.titles[1:])
        if before & LIKED and not within and not cited:
            return "it says that the recommended item was liked already"
    return None


def _quotes(text: str, tokens: Sequence[_Token], outside: Sequence[bool]) -> str | None:
    """Find something in quotation marks that is no title of the evidence."""
    for quoted in QUOTED.finditer(text):
        for token, out in zip(tokens, outside, strict=True):
            if quoted.start() <= token.start < quoted.end() and out:
                return f"it quotes {quoted[0]}"
    return "it has a lone quotation mark" if LONE.search(QUOTED.sub(" ", text)) else None


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _category(name: str) -> str:
    return "".join(_stem(token.folded) for token in _tokens(name))
