"""What is asked: search texts, as often as people repeat themselves, users, and priorities; made before it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np

from twofold.core.artifact import Artifact
from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, DataError
from twofold.core.ids import Id
from twofold.serve.lanes import PRIORITIES, Priority

__all__ = ["DEADLINES", "Asking", "Catalogue", "Question", "draw"]

DEADLINES: Mapping[Priority, float] = MappingProxyType({"interactive": 100.0, "standard": 2_000.0, "batch": 60_000.0})
"""Milliseconds."""
LONGEST = 1_000
"""Characters of a text that the server takes."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question, ready to be sent."""

    path: str
    priority: Priority
    body: bytes


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What may be asked for."""

    texts: Sequence[str] = ()
    users: Sequence[Id] = ()

    @classmethod
    def read(cls, artifact: Path | None = None, queries: Path | None = None) -> "Catalogue":
        """Take the users and the titles of an artifact, and search texts of a file instead of the titles.

        Args:
            artifact: a fitted pipeline.
            queries: a file with a text a line.

        Raises:
            ArtifactError: the artifact cannot be read.
            DataError: the file cannot be read, or holds no text.
        """
        texts: list[str] = []
        users: list[Id] = []
        if artifact is not None:
            dataset = Dataset.load(Artifact.open(artifact.resolve()).folder / "dataset")
            users = list(dataset.user_ids.ids)
            texts = dataset.items["title"].drop_nulls().to_list() if "title" in dataset.items.columns else []
        if queries is not None:
            try:
                texts = queries.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{queries} cannot be read ({error}); give a file with a text a line.") from None
        texts = list(dict.fromkeys(text.strip()[:LONGEST] for text in texts if text.strip()))
        if queries is not None and not texts:
            raise DataError(f"{queries} holds no text; give a file with a text a line.")
        return cls(texts, users)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How questions are drawn.

    Raises:
        ConfigError: an option is out of range.
    """

    searches: float = 1.0
    """The share of searches; the others ask for what suits a user."""
    zipf: float = 1.0
    """Texts are repeated as by a Zipf distribution of this exponent; with 0 each comes once before any comes again."""
    priorities: Mapping[Priority, float] = field(default_factory=lambda: {"interactive": 1.0})
    """Shares of the priorities; they need not add up to 1."""
    deadlines: Mapping[Priority, float] = field(default_factory=lambda: DEADLINES)
    """Milliseconds in which an answer is wanted, by priority."""
    k: int = 10

    def __post_init__(self) -> None:
        if not (0 <= self.searches <= 1 and 0 <= self.zipf <= 10 and 1 <= self.k <= 100):
            raise ConfigError("searches are a share of 0 to 1, zipf is 0 to 10, and k is 1 to 100; mend that.")
        if set(self.priorities) - set(PRIORITIES) or min(self.priorities.values(), default=-1) < 0:
            raise ConfigError(f"priorities are {', '.join(PRIORITIES)}, each with a share of 0 or more; mend that.")
        if not sum(self.priorities.values()) > 0 or min(self.deadlines.values()) <= 0:
            raise ConfigError("some priority has a share above 0, and deadlines are above 0; mend that.")


def draw(count: int, catalogue: Catalogue, asking: Asking, rng: np.random.Generator) -> list[Question]:
    """Return so many questions.

    Raises:
        ConfigError: searches are wanted, and there is no text.
    """
    if asking.searches > 0 and not catalogue.texts:
        raise ConfigError("there is no text to search for; give --queries or --artifact, or --searches 0.")
    names = list(asking.priorities)
    shares = np.array([asking.priorities[name] for name in names], np.float64)
    priorities = rng.choice(len(names), count, p=shares / shares.sum())
    searches = rng.random(count) < asking.searches
    texts = iter(_texts(int(searches.sum()), len(catalogue.texts), asking.zipf, rng))
    users = rng.integers(max(len(catalogue.users), 1), size=count)
    found = []
    for place in range(count):
        priority = names[priorities[place]]
        body = {"k": asking.k, "priority": priority, "deadline_ms": asking.deadlines[priority]}
        path = "/recommend"
        if searches[place]:
            path = "/search"
            body["text"] = catalogue.texts[next(texts)]
        elif catalogue.users:
            body["user"] = catalogue.users[users[place]]
        found.append(Question(path, priority, msgspec.json.encode(body)))
    return found


def _texts(count: int, known: int, zipf: float, rng: np.random.Generator) -> list[int]:
    order = rng.permutation(known)
    if not known or not zipf:
        return [int(place) for place in np.resize(order, count)]
    share = np.arange(1, known + 1, dtype=np.float64) ** -zipf
    return [int(place) for place in order[rng.choice(known, count, p=share / share.sum())]]
