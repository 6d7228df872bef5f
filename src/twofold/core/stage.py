"""`Stage`: one step of a pipeline, fitted on a Dataset, described by a config, saved as arrays."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl

from twofold.core.config import build
from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, nearest, needed_for
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.query import Batch, Evidence
from twofold.core.scores import Candidates, Floats, Mask, Scores

__all__ = [
    "Encoder",
    "Expander",
    "Fuser",
    "Modality",
    "Progress",
    "Ranker",
    "Retriever",
    "Stage",
    "link",
    "make_stage",
    "stage_kinds",
]

Modality = Literal["text", "image", "audio"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and of how many."""


class Stage(ABC):
    """One step of a pipeline.

    A subclass declares `Config`, a frozen dataclass, and names in `state` the attributes that `fit`
    sets: numpy arrays, or None. A stage that keeps something else overrides `save` and `restore`.
    Stages are found by name through the entry point group `twofold.stages`.
    """

    Config: ClassVar[type] = type(None)
    state: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Mapping[str, type["Stage"]]] = MappingProxyType({})
    """Fields of the config that name another stage of the recipe, and of what type it must be. A field that is
    empty names none. The other is fitted first."""
    incidental: ClassVar[tuple[str, ...]] = ("threads", "checkpoint")
    """Fields of the config that change nothing of what is learned."""
    config: Any
    linked: dict[str, Any]
    """The stages that `needs` asks for, by field; set by `link`."""
    progress: Progress | None
    """Told by a long `fit` how far it is; set by the pipeline while it fits."""
    seconds: float
    """How long the pipeline's last `fit` of it took."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config
        self.linked = {}
        self.progress = None
        self.seconds = 0.0

    @abstractmethod
    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Learn from a dataset and return self."""

    @property
    def heeds(self) -> bool:
        """Whether `observe` changes anything, here or in a stage that this one needs."""
        return type(self).observe is not Stage.observe or any(stage.heeds for stage in self.linked.values())

    def learns_log(self) -> bool:
        """Return whether `fit` learns from what people did; if not, one fit serves every part of a log."""
        return True

    def learns_searches(self) -> bool:
        """Return whether `fit` learns from `Dataset.queries`, so that these say nothing of how good it is."""
        return False

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

    def update(self, dataset: Dataset, changed: Codes) -> None:  # noqa: B027  many stages keep nothing of the catalogue
        """Take in changes of the catalogue without learning anew.

        Args:
            dataset: the one that it was fitted on, with items described anew and further items behind them.
            changed: the codes of both, int32 [c], rising.
        """

    def observe(self, events: Histories) -> None:  # noqa: B027  many stages learn nothing from single events
        """Take in what people did since the fit, without learning anew; arrays are replaced, never written into.

        Args:
            events: in any rows, with the codes of the items.
        """


class Encoder(Stage):
    """A stage that turns items, texts or images into vectors of one space, where a large dot product means likeness."""

    reads: tuple[Modality, ...]
    """What `encode` takes."""
    vectors: Floats
    """The items' vectors, float32 [n, d], set by `fit`: of length 1, or 0 where an item has nothing to encode."""

    @abstractmethod
    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of what people search with, float32 [b, d].

        Args:
            values: texts (str), or the contents of image or audio files (bytes); one that cannot be read gets zeros.
            modality: which of them; one of `reads`.
        """

    @abstractmethod
    def encode_items(self, items: pl.DataFrame) -> Floats:
        """Return the vectors of items, float32 [n, d], from rows like those of `Dataset.items`."""

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Encode the items that changed."""
        vectors = np.zeros((len(dataset.items), self.vectors.shape[1]), np.float32)
        vectors[: len(self.vectors)] = self.vectors
        vectors[changed] = self.encode_items(dataset.items[changed.astype(np.int64)])
        self.vectors = vectors


class Expander(Stage):
    """A stage that writes more words about items than the catalogue has, for a search index to find them by."""

    expansions: pl.Series
    """A text an item, String [n], null where there is none; set by `fit`. It is searched, and never shown."""

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Forget what was written about items that changed; new ones have nothing until the next `fit`."""
        stale = np.zeros(len(dataset.items), bool)
        stale[changed] = True
        longer = self.expansions.extend_constant(None, len(stale) - len(self.expansions))
        self.expansions = longer.set(pl.Series(stale), None)


class Retriever(Stage):
    """A stage that finds items for the evidence in a query."""

    evidence: ClassVar[tuple[Evidence, ...]]
    """The parts of a query that this kind of retriever can answer."""

    def answers(self) -> tuple[Evidence, ...]:
        """Return the parts of a query that this one can answer: fewer, where what it needs cannot read them."""
        return self.evidence

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


class Ranker(Stage):
    """A stage that looks closer at the best candidates and orders them anew."""

    evidence: ClassVar[tuple[Evidence, ...]]
    """For which leading evidence of a query it is asked."""
    depth: int
    """How many candidates it looks at; those below stay below. With 0 it is not asked."""

    @abstractmethod
    def rank(self, batch: Batch, evidence: Evidence, found: Candidates) -> Candidates:
        """Return the candidates in a new order, with a source of its own; none is added or removed.

        Args:
            batch: the queries.
            evidence: the leading one, which the candidates were found for.
            found: the candidates [b, c], -1 where there is no more; c may be less than `depth`.
        """


class Fuser(Stage):
    """A stage that makes one ranking out of the opinions of several retrievers."""

    depth: int
    """How many candidates each retriever brings; more where a query wants more."""

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


def link(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """Give every stage the others that its config names, and return all, what is needed before what needs it.

    Raises:
        ConfigError: a name is unknown, or of another type than needed, or stages need each other in a circle.
    """
    ordered: dict[str, Stage] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ConfigError(f"the stages {' → '.join((*path, name))} need each other; remove one of these names.")
        if name in ordered:
            return
        stage = stages[name]
        for field, wanted in stage.needs.items():
            other = getattr(stage.config, field)
            if not other:
                continue
            if other not in stages:
                raise ConfigError(f"[{name}] {field} names {other!r}; {nearest(other, stages)}")
            if not isinstance(stages[other], wanted):
                raise ConfigError(
                    f"[{name}] {field} names {other!r}, which is no {wanted.__name__.lower()}; change it."
                )
            visit(other, (*path, name))
            stage.linked[field] = stages[other]
        ordered[name] = stage

    for name in stages:
        visit(name, ())
    return ordered


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
    with needed_for(f"[{where}] {kind!r}"):
        cls = kinds[kind].load()
    rest = {key: value for key, value in options.items() if key != "kind"}
    if cls.Config is type(None):
        if rest:
            raise ConfigError(f"[{where}] takes no options, but has {', '.join(rest)}; remove them.")
        return cls()  # type: ignore[no-any-return]
    return cls(build(cls.Config, rest, where))  # type: ignore[no-any-return]
