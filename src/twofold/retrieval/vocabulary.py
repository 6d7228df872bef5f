"""The words that an index knows, and those that a mistyped one may have meant."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Similar", "Vocabulary"]

LONGEST = 24
"""Characters; longer words are not looked for when a word is mistyped."""
SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Similar:
    """A known word near a mistyped one."""

    word: str
    distance: int
    """Letters inserted, left out, replaced or swapped with the next."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """V known words, the shorter first, with what is needed to look for similar ones.

    A word is first judged by the set of its letters, folded to 64 bits: each typo changes at most two bits.
    The few words that remain are compared letter by letter, all at once.
    """

    words: npt.NDArray[np.str_]
    """Shape [V], fixed width."""
    counts: npt.NDArray[np.int64]
    """Documents that have each word, shape [V]."""
    letters: npt.NDArray[np.uint64]
    """The set of letters of each word, shape [V]."""
    limits: npt.NDArray[np.int64]
    """Words of length l stand at `limits[l]:limits[l + 1]`, shape [LONGEST + 2]."""

    @classmethod
    def of(cls, counted: Iterable[tuple[str, int]]) -> "Vocabulary":
        """Make a vocabulary of words and the number of documents that have each."""
        kept = sorted(
            ((word, count) for word, count in counted if SHORTEST <= len(word) <= LONGEST and word.isalpha()),
            key=lambda pair: (len(pair[0]), pair[0]),
        )
        words = np.array([word for word, _ in kept], f"<U{LONGEST}")
        return cls(
            words=words,
            counts=np.array([count for _, count in kept], np.int64),
            letters=_letter_sets(_codes(words)),
            limits=np.searchsorted(np.strings.str_len(words), np.arange(LONGEST + 2)).astype(np.int64),
        )

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder."""
        for name in self.__slots__:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Read what `save` wrote; the arrays are memory-mapped."""
        return cls(**{name: np.load(folder / f"{name}.npy", "r", allow_pickle=False) for name in cls.__slots__})

    def similar(self, word: str, distance: int, *, limit: int, prefix: bool = False) -> list[Similar]:
        """Return known words within a number of typos of a word: the nearest first, then the most frequent.

        Args:
            word: what was typed, folded.
            distance: typos allowed.
            limit: how many words to return.
            prefix: compare with the beginnings of known words.
        """
        if not distance or not len(word) <= LONGEST:
            return []
        low, high = max(len(word) - distance, 0), LONGEST if prefix else min(len(word) + distance, LONGEST)
        span = slice(int(self.limits[low]), int(self.limits[high + 1]))
        typed = _codes(np.array([word], f"<U{LONGEST}"))
        near = self._near(_letter_sets(typed)[0], span, distance, prefix)
        rows = _distances(typed[0, : len(word)], _codes(self.words[near])[:, : len(word) + distance])
        lengths = np.strings.str_len(self.words[near])
        if prefix:
            inside = np.arange(rows.shape[1]) <= lengths[:, None]
            away = np.where(inside, rows, distance + 1).min(axis=1, initial=distance + 1)
        else:
            away = rows[np.arange(len(near)), lengths]  # no word is longer than what was compared
        order = np.lexsort((self.words[near], -self.counts[near], away))
        best = order[(away[order] <= distance) & (prefix | (away[order] > 0))][:limit]
        return [Similar(str(self.words[near[row]]), int(away[row])) for row in best]

    def _near(self, letters: np.uint64, span: slice, distance: int, prefix: bool) -> npt.NDArray[np.int64]:
        known = np.asarray(self.letters[span])
        odd = (letters & ~known) if prefix else (letters ^ known)
        few = distance if prefix else 2 * distance
        near: npt.NDArray[np.int64] = np.flatnonzero(np.bitwise_count(odd) <= few) + span.start
        return near


def _codes(words: npt.NDArray[np.str_]) -> npt.NDArray[np.uint32]:
    codes: npt.NDArray[np.uint32] = np.ascontiguousarray(words).view(np.uint32).reshape(len(words), LONGEST)
    return codes


def _letter_sets(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    bits = np.where(codes, np.uint64(1) << (codes % np.uint32(64)).astype(np.uint64), np.uint64(0))
    letters: npt.NDArray[np.uint64] = np.bitwise_or.reduce(bits, axis=1)
    return letters


def _distances(typed: npt.NDArray[np.uint32], known: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Return how many typos turn a word into each beginning of each known word, shape [words, letters + 1].

    Optimal string alignment: the usual recurrence over the typed letters, each step for all beginnings at
    once; runs of insertions are a running minimum of `cost - column`.
    """
    columns = np.arange(known.shape[1] + 1)
    before = np.zeros((len(known), len(columns)), np.int64)
    last: npt.NDArray[np.int64] = np.tile(columns, (len(known), 1))
    for row, letter in enumerate(typed):
        cost = np.empty_like(before)
        cost[:, 0] = row + 1
        cost[:, 1:] = np.minimum(last[:, 1:] + 1, last[:, :-1] + (known != letter))
        if row:
            swapped = (known[:, 1:] == typed[row - 1]) & (known[:, :-1] == letter)
            cost[:, 2:] = np.where(swapped, np.minimum(cost[:, 2:], before[:, :-2] + 1), cost[:, 2:])
        before, last = last, np.add(np.minimum.accumulate(cost - columns, axis=1), columns)
    return last
