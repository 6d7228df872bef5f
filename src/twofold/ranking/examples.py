"""What a cross-encoder learns from: searches with a right answer and rivals that a first ranking put beside it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from twofold.core import Batch, Dataset, Retriever
from twofold.core.ids import Codes
from twofold.core.scores import Floats

__all__ = ["Asked", "Drawn", "draw", "first_ranking", "invented_searches", "known_searches", "part"]

SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")
SHORT = 20
"""A sentence of fewer characters says too little to stand for a search."""
TOGETHER = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A search, what is known of its answers, and what a first ranking found for it."""

    text: str
    grades: Mapping[int, float]
    """Of each item whose grade is known, by code: more than 0 is right."""
    found: Codes
    """The first ranking, best first."""
    scores: Floats
    """Its scores."""
    answer: str | None = None
    """What is read in place of the right item's text; for a search that was made of that text."""

    @property
    def right(self) -> list[int]:
        """The right items."""
        return [item for item, grade in self.grades.items() if grade > 0]

    @property
    def rivals(self) -> list[int]:
        """Items that are not known to be right: those judged wrong, then those found, the best first."""
        wrong = [item for item, grade in self.grades.items() if grade <= 0]
        return wrong + [item for item in self.found.tolist() if item not in self.grades]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One example: the right text first, then wrong ones."""

    text: str
    candidates: Sequence[str]


def known_searches(dataset: Dataset, retrievers: Sequence[Retriever], depth: int) -> list[Asked]:
    """Return the dataset's searches that have a right answer, each once, with the first ranking's candidates."""
    codes = dataset.item_ids.encode_series(dataset.queries["item"])
    graded: dict[str, dict[int, float]] = {}
    rows = zip(dataset.queries["text"], codes.tolist(), dataset.queries["grade"], strict=True)
    for text, code, grade in rows:
        known = graded.setdefault(text, {})
        known[code] = max(known.get(code, 0.0), grade)
    kept = {text: known for text, known in graded.items() if text.strip() and max(known.values()) > 0}
    return _ranked(list(kept), list(kept.values()), [None] * len(kept), retrievers, depth)


def invented_searches(
    items: pl.DataFrame, retrievers: Sequence[Retriever], depth: int, count: int, rng: np.random.Generator
) -> list[Asked]:
    """Return searches made of items' own words: half of them titles, half sentences, each for the rest of its text."""
    given = items.select(pl.col("title", "text").fill_null("").str.strip_chars())
    telling = np.flatnonzero((given["title"] != "").to_numpy() & (given["text"] != "").to_numpy())
    chosen = np.sort(rng.choice(telling, min(count, len(telling)), replace=False))
    texts, answers = [], []
    for title, body in given[chosen.tolist()].rows():
        sentences = SENTENCE.split(body)
        long = [place for place, sentence in enumerate(sentences) if len(sentence) >= SHORT]
        if len(sentences) > 2 and long and rng.random() < 0.5:
            place = int(rng.choice(long))
            texts.append(sentences[place])
            answers.append(" ".join([title + ".", *sentences[:place], *sentences[place + 1 :]]))
        else:
            texts.append(title)
            answers.append(body)
    return _ranked(texts, [{int(item): 1.0} for item in chosen], answers, retrievers, depth)


def part(
    searches: Sequence[Asked], share: float, most: int, rng: np.random.Generator
) -> tuple[list[Asked], list[Asked]]:
    """Put a share of the searches aside, at most so many; return the rest and them."""
    aside = set(rng.permutation(len(searches))[: min(round(share * len(searches)), most)].tolist())
    kept = [asked for row, asked in enumerate(searches) if row not in aside]
    return kept, [asked for row, asked in enumerate(searches) if row in aside]


def draw(searches: Sequence[Asked], texts: Sequence[str], wrong: int, rng: np.random.Generator) -> list[Drawn]:
    """Return one example for each search, in another order each time.

    Args:
        searches: what to draw from.
        texts: of all items.
        wrong: how many wrong answers of each; drawn from the rivals, then from all items.
        rng: draws.
    """
    drawn = []
    for row in rng.permutation(len(searches)):
        asked = searches[row]
        right = asked.right[int(rng.integers(len(asked.right)))]
        rivals = asked.rivals
        chosen = [rivals[place] for place in rng.permutation(len(rivals))[:wrong]]
        while len(chosen) < wrong and len(texts) > len(asked.right):
            other = int(rng.integers(len(texts)))
            chosen += [] if other in asked.right else [other]
        first = texts[right] if asked.answer is None else asked.answer
        drawn.append(Drawn(text=asked.text, candidates=[first, *(texts[item] for item in chosen)]))
    return drawn


def first_ranking(retrievers: Sequence[Retriever], texts: Sequence[str], depth: int) -> tuple[Codes, Floats]:
    """Return what several retrievers find together, codes and scores [b, c] with c at most `depth`.

    The scores of each retriever's `depth` best are brought to 0 … 1 by the least and the largest of them, and the
    mean over the retrievers counts; what one does not find counts 0 there.
    """
    items = np.full((len(texts), depth), -1, np.int32)
    scores = np.full((len(texts), depth), -np.inf, np.float32)
    for start in range(0, len(texts), TOGETHER):
        batch = Batch.of_texts(texts[start : start + TOGETHER])
        tops = [retriever.score(batch, "text").top(depth) for retriever in retrievers]
        for row in range(len(batch)):
            total: dict[int, float] = {}
            for codes, heard in tops:
                kept = heard[row][codes[row] >= 0]
                low, high = (float(kept.min()), float(kept.max())) if len(kept) else (0.0, 0.0)
                units = (kept - low) / (high - low) if high > low else np.ones_like(kept)
                for code, unit in zip(codes[row].tolist(), units.tolist(), strict=False):
                    total[code] = total.get(code, 0.0) + unit / len(retrievers)
            best = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:depth]
            for column, (code, score) in enumerate(best):
                items[start + row, column], scores[start + row, column] = code, score
    return items, scores


def _ranked(
    texts: list[str],
    grades: list[dict[int, float]],
    answers: Sequence[str | None],
    retrievers: Sequence[Retriever],
    depth: int,
) -> list[Asked]:
    items, scores = first_ranking(retrievers, texts, depth)
    return [
        Asked(text=text, grades=known, found=found[found >= 0], scores=heard[found >= 0], answer=answer)
        for text, known, answer, found, heard in zip(texts, grades, answers, items, scores, strict=True)
    ]
