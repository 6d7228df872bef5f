"""`Query`: what is asked. `Batch`: many queries in codes, as stages see them."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from twofold.core.errors import LateError, QueryError
from twofold.core.history import Histories
from twofold.core.ids import Id

__all__ = ["Batch", "Evidence", "Query"]

Evidence = Literal["text", "image", "items", "history", "nothing"]
"""The part of a query that is answered; the first that a query has says which items may come."""

MOST_RESULTS = 1_000
LONGEST_TEXT = 10_000
LARGEST_IMAGE = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked. Any mixture of evidence is allowed; no evidence at all asks for what is trending.

    Raises:
        QueryError: `k`, `diversity`, the length of `text` or the size of `image` is out of bounds.
    """

    text: str | None = None
    """Search: items must match this text."""
    image: bytes | None = None
    """Search by image: the content of a JPEG, PNG or WebP file."""
    user: Id | None = None
    """For you: this user's logged history counts. An unknown user is a user without a history."""
    history: Sequence[Id] = ()
    """Recent items, the oldest first; they follow the logged history of `user`, if there is one."""
    items: Sequence[Id] = ()
    """Similar: items like these."""
    k: int = 10
    """How many results."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    """Conditions on item attributes; see `Dataset.eligible`."""
    exclude: Sequence[Id] = ()
    """Items that must not appear."""
    repeat: bool = False
    """Whether items that the user has seen may appear, in a search too."""
    diversity: float = 0.0
    """From 0, the best items whatever they are, to 1, items that are as little alike as can be; see `diversify`."""
    deadline_ms: float | None = None
    """By when an answer is wanted, in milliseconds from now."""
    priority: Literal["interactive", "standard", "batch"] = "standard"

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MOST_RESULTS:
            raise QueryError(f"k is {self.k}; ask for 1 to {MOST_RESULTS:,} results.")
        if not 0 <= self.diversity <= 1:
            raise QueryError(f"diversity is {self.diversity}; give a number from 0 to 1.")
        if self.image is not None and len(self.image) > LARGEST_IMAGE:
            raise QueryError(f"the image has {len(self.image):,} bytes; give at most {LARGEST_IMAGE:,}.")
        if self.text is not None and len(self.text) > LONGEST_TEXT:
            raise QueryError(f"the text has {len(self.text):,} characters; give at most {LONGEST_TEXT:,}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of b queries over n items, resolved to codes."""

    histories: Histories
    """What each user did, the oldest event first."""
    seeds: Histories
    """The items that each query wants similar ones to."""
    texts: Sequence[str | None]
    """The text of each query."""
    images: Sequence[bytes | None] = ()
    """The image of each query; empty where none brings one."""
    allowed: npt.NDArray[np.bool_] | None = None
    """Which items may appear, shape [b, n]; None where all may."""
    until: float = math.inf
    """When the last of the answers is wanted, in seconds of `time.monotonic`."""

    def check_time(self) -> None:
        """See that an answer is still wanted; called before each stage that may take long.

        Raises:
            LateError: it is too late for all queries.
        """
        if time.monotonic() > self.until:
            raise LateError("the answer would come too late; give a longer deadline.")

    def __len__(self) -> int:
        return len(self.texts)

    def has(self, evidence: Evidence) -> npt.NDArray[np.bool_]:
        """Return which queries bring a kind of evidence, shape [b]; each brings "nothing"."""
        if evidence == "text":
            return np.array([text is not None for text in self.texts], bool)
        if evidence == "image":
            return np.array([image is not None for image in self.images or [None] * len(self)], bool)
        if evidence == "nothing":
            return np.ones(len(self), bool)
        return (self.seeds.lengths if evidence == "items" else self.histories.likes().lengths) > 0

    def events(self, evidence: Evidence) -> Histories:
        """Return the events that stand for a kind of evidence: seeds, the history, or none."""
        if evidence == "items":
            return self.seeds
        return self.histories if evidence == "history" else Histories.empty(len(self))

    def take(self, rows: Sequence[int]) -> "Batch":
        """Return the given queries, in the given order."""
        index = np.asarray(rows, np.int64)
        return Batch(
            histories=self.histories.take(index),
            seeds=self.seeds.take(index),
            texts=[self.texts[row] for row in rows],
            images=[self.images[row] for row in rows] if self.images else (),
            allowed=None if self.allowed is None else self.allowed[index],
            until=self.until,
        )

    def row(self, row: int) -> "Batch":
        """Return one query, without a copy."""
        return Batch(
            histories=self.histories.row(row),
            seeds=self.seeds.row(row),
            texts=self.texts[row : row + 1],
            images=self.images[row : row + 1],
            allowed=None if self.allowed is None else self.allowed[row : row + 1],
            until=self.until,
        )

    @classmethod
    def of_histories(cls, histories: Histories, allowed: npt.NDArray[np.bool_] | None = None) -> "Batch":
        """Make a batch of "for you" queries."""
        size = len(histories)
        return cls(histories=histories, seeds=Histories.empty(size), texts=[None] * size, allowed=allowed)

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> "Batch":
        """Make a batch of searches."""
        return cls(histories=Histories.empty(len(texts)), seeds=Histories.empty(len(texts)), texts=texts)
