"""`Stage`: one step of a pipeline, fitted on a Dataset, described by a config, saved as arrays."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from twofold.core.config import build
from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, MissingExtraError, nearest
from twofold.core.ids import Codes
from twofold.core.query import Batch, Evidence
from twofold.core.scores import Candidates, Floats, Mask, Scores

__all__ = ["Fuser", "Retriever", "Stage", "make_stage", "stage_kinds"]


class Stage(ABC):
    """One step of a pipeline.

    A subclass declares `Config`, a frozen dataclass, and names in `state` the attributes that `fit`
    sets: numpy arrays, or None. A stage that keeps something else overrides `save` and `restore`.
    Stages are found by name through the entry point group `twofold.stages`.
    """

    Config: ClassVar[type] = type(None)
    state: ClassVar[tuple[str, ...]] = ()
    config: Any

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    @abstractmethod
    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Learn from a dataset and return self."""

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing, empty folder."""
        for name in self.state:
            array = getattr(self, name)
            if array is not None:
                np.save(folder / f"{name}.npy", array, allow_pickle=False)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; arrays are memory-mapped. `dataset` is the one in the artifact."""
        for name in self.state:
            path = folder / f"{name}.npy"
            setattr(self, name, np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None)


class Retriever(Stage):
    """A stage that finds items for the evidence in a query."""

    evidence: ClassVar[tuple[Evidence, ...]]
    """The parts of a query that this retriever can answer."""

    @abstractmethod
    def score(self, batch: Batch, evidence: Evidence) -> Scores:
        """Say what it thinks of items, given one part of each query of a batch."""

    def contributions(self, batch: Batch, evidence: Evidence, items: Codes) -> Floats | None:
        """Return what each event behind a batch of one adds to the scores of items, float32 [events, items].

        The events are those of `batch.events(evidence)`. None where a retriever cannot tell.
        """
        return None

    def snippets(self, text: str, items: Sequence[int]) -> Mapping[int, str]:
        """Return where a search text matches items: HTML whose only tags are <b>."""
        return {}


class Fuser(Stage):
    """A stage that makes one ranking out of the opinions of several retrievers."""

    @abstractmethod
    def votes(
        self, opinions: Mapping[str, Scores], allowed: Mask | None, *, size: int, k: int
    ) -> tuple[Codes, dict[str, Floats]]:
        """Return the candidates for `size` queries, and what each retriever adds to each at weight 1.

        Args:
            opinions: what each retriever thinks, by name.
            allowed: which items may appear, shape [size, n]; None where all may.
            size: how many queries.
            k: how many items are wanted; at least so many where the retrievers found them.

        Returns:
            Codes [size, c], -1 where there is no more, and for each name the votes [size, c].
        """

    @abstractmethod
    def fuse(
        self, opinions: Mapping[str, Scores], weights: Mapping[str, float], allowed: Mask | None, *, size: int, k: int
    ) -> Candidates:
        """Return the candidates of `votes`, ordered by the weighted sum of their votes."""

    @abstractmethod
    def reorder(
        self, first: Candidates, opinions: Mapping[str, Scores], weights: Mapping[str, float], weight: float
    ) -> Candidates:
        """Order the items of a ranking anew by what more retrievers say of them.

        The ranking as it was counts 1, the retrievers together `weight`; no item is added or removed.
        """


@cache
def stage_kinds() -> Mapping[str, EntryPoint]:
    """Return the installed kinds of stages by name; looked up once, since that reads the metadata of all packages."""
    return MappingProxyType({point.name: point for point in entry_points(group="twofold.stages")})


def make_stage(options: Mapping[str, Any], where: str) -> Stage:
    """Make an unfitted stage from a table of a recipe; its `kind` names the class.

    Raises:
        ConfigError: the kind or an option is unknown.
        MissingExtraError: the kind needs a package that is not installed.
    """
    kinds = stage_kinds()
    kind = options.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(f"[{where}] has no known kind of stage ({kind!r}); {nearest(str(kind), kinds)}")
    try:
        cls = kinds[kind].load()
    except ImportError as error:
        raise MissingExtraError(
            f"[{where}] {kind!r} needs the package {error.name!r}; install it with `pip install {error.name}`."
        ) from error
    rest = {key: value for key, value in options.items() if key != "kind"}
    if cls.Config is type(None):
        if rest:
            raise ConfigError(f"[{where}] takes no options, but has {', '.join(rest)}; remove them.")
        return cls()  # type: ignore[no-any-return]
    return cls(build(cls.Config, rest, where))  # type: ignore[no-any-return]
