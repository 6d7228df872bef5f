"""Where a search text matches: the best stretch of a text, as HTML whose only tags are <b>."""

import re
from collections.abc import Callable, Iterator
from html import escape

from twofold.retrieval.analysis import CHINESE

__all__ = ["snippet"]

WORD = re.compile(r"[^\W_]+")
LENGTH = 160
"""Characters of a snippet, about."""
LONGEST_TEXT = 20_000
"""Characters of a text that are looked at."""


def snippet(text: str, is_hit: Callable[[str], bool]) -> str:
    """Return the stretch of a text that has the most hits, with the hits in bold and all else escaped.

    Args:
        text: any text; nothing in it becomes a tag.
        is_hit: whether a word, or a piece of a Chinese run of at most two characters, is a hit.

    >>> snippet("Tom & Jerry <3 cheese", {"Jerry"}.__contains__)
    'Tom &amp; <b>Jerry</b> &lt;3 cheese'
    """
    text = text[:LONGEST_TEXT]
    hits = _joined(list(_hits(text, is_hit)))
    start, end = _window(text, [begin for begin, _ in hits])
    parts = ["… "] if start else []
    place = start
    for begin, stop in hits:
        if begin >= start and stop <= end:
            parts += [escape(text[place:begin]), "<b>", escape(text[begin:stop]), "</b>"]
            place = stop
    parts += [escape(text[place:end]), " …" if end < len(text) else ""]
    return "".join(parts)


def _hits(text: str, is_hit: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    if text.isascii():
        if hits := {word for word in set(WORD.findall(text)) if is_hit(word)}:
            yield from (word.span() for word in WORD.finditer(text) if word[0] in hits)
        return
    for word in WORD.finditer(text):
        if not CHINESE.search(word[0]):
            if is_hit(word[0]):
                yield word.span()
            continue
        for place in range(word.start(), word.end()):
            for size in (2, 1):
                if place + size <= word.end() and is_hit(text[place : place + size]):
                    yield place, place + size
                    break


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _window(text: str, hits: list[int]) -> tuple[int, int]:
    """Return the limits of the stretch with the most hits; they fall between words where there are spaces."""
    if len(text) <= LENGTH:
        return 0, len(text)
    counted = [(sum(first <= hit < first + LENGTH - 40 for hit in hits), -first) for first in hits]
    start = max(0, -max(counted)[1] - 30) if counted else 0
    if start:
        space = text.find(" ", start, start + 30)
        start = space + 1 if space >= 0 else start
    end = min(len(text), start + LENGTH)
    if end < len(text):
        space = text.rfind(" ", end - 30, end)
        end = space if space > 0 else end
    return start, end
