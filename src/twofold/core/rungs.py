"""`Rungs`: what a stage runs, at several sizes of which one is used at a time; and how a ladder's are put in place.

A *network* maps a batch's arrays by name, the first axis of each the batch, to one array.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from twofold.core.dataset import Dataset
from twofold.core.errors import ArtifactError, nearest
from twofold.core.ladder import LADDER, Ladder, Setting
from twofold.core.pipeline import Pipeline
from twofold.core.scores import Floats
from twofold.core.stage import Fuser, Ranker, Stage

__all__ = ["OWN", "Network", "Opener", "Rungs", "Scaled", "Spent", "apply_settings", "put_ladder"]

OWN = ""
"""The name of the network that a stage was fitted with, among its rungs."""

Network = Callable[[Mapping[str, npt.NDArray[Any]]], Floats]


class Opener(Protocol):
    """Opens a rung's network; `twofold.compress.runtime.open_runtime`."""

    def __call__(self, folder: Path, name: str, *, output: str) -> Network:
        """Return the network in a folder, run by the named runtime."""
        ...


@runtime_checkable
class Scaled(Protocol):
    """A stage that can run a network of another size in the place of the one that it was fitted with."""

    output: str
    """The output of its graphs that counts."""
    runner: Any
    """What it runs now: its own, or `Rungs` in its place."""

    def open_rung(self, folder: Path, network: Network, dataset: Dataset) -> Any:
        """Return what can be put in the place of `runner`.

        Args:
            folder: the rung's, with what beside the graph belongs to it.
            network: its graph, opened.
            dataset: the one that the stage was fitted on.

        Raises:
            ArtifactError: it is of another model.
        """
        ...


@dataclass(slots=True)
class Spent:
    """What running took in one thread."""

    seconds: float = 0.0
    hits: int = 0
    misses: int = 0
    rungs: dict[str, str] = field(default_factory=dict)
    """Which rung made the vector of each text."""


class Rungs:
    """What a stage runs, at several sizes, of which one is used at a time; it may be used by several threads.

    Args:
        sizes: a network, a scorer of pairs or an encoder of texts, by rung, the best first.
    """

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        self.sizes = dict(sizes)
        self.current = next(iter(self.sizes))
        """The rung in use; setting it is all that a step is."""
        self._local = threading.local()

    def __call__(self, *given: Any) -> Any:
        """Run the rung in use, a network or a scorer."""
        begun = time.perf_counter()
        found = self.sizes[self.current](*given)
        self._spent().seconds += time.perf_counter() - begun
        return found

    @property
    def dimensions(self) -> int:
        """How long the vectors of an encoder are."""
        return int(self.sizes[self.current].dimensions)

    def encode(self, texts: Sequence[str], *, prefix: str = "") -> Floats:
        """Return the vectors of texts by the rung in use, an encoder, float32 [b, d]."""
        begun = time.perf_counter()
        vectors: Floats = self.sizes[self.current].encode(texts, prefix=prefix)
        self._spent().seconds += time.perf_counter() - begun
        return vectors

    def take(self) -> Spent:
        """Return what this thread spent since it last asked."""
        spent, self._local.spent = self._spent(), Spent()
        return spent

    def _spent(self) -> Spent:
        if not hasattr(self._local, "spent"):
            self._local.spent = Spent()
        spent: Spent = self._local.spent
        return spent


def put_ladder(pipeline: Pipeline, ladder: Ladder, folder: Path, opener: Opener) -> dict[str, Rungs]:
    """Put the rungs of a pipeline's ladder beside the networks of its stages, and let its best step answer.

    Args:
        pipeline: a fitted one.
        ladder: of the pipeline.
        folder: where it lies.
        opener: opens networks.

    Returns:
        What runs in the stages that the ladder sets and that have a network, by their names.

    Raises:
        ArtifactError: the ladder sets what the pipeline does not have, or a rung cannot be opened or is of another
            model; nothing is changed then.
    """
    opened: dict[str, dict[str, Any]] = {}
    for name, setting in ladder.rungs[0].settings.items():
        stage = _stage_of(pipeline, name, setting, folder)
        if isinstance(stage, Scaled):
            rungs = ladder.stages[name].rungs if name in ladder.stages else ()
            places = {rung.name: (folder / rung.folder, rung.runtime) for rung in rungs}
            opened[name] = {
                rung: stage.open_rung(place, opener(place, runtime, output=stage.output), pipeline.dataset)
                for rung, (place, runtime) in places.items()
            }
    put: dict[str, Rungs] = {}
    for name, sizes in opened.items():
        stage = pipeline.stages[name]
        assert isinstance(stage, Scaled)
        put[name] = stage.runner if isinstance(stage.runner, Rungs) else Rungs({OWN: stage.runner})
        put[name].sizes.update(sizes)
        stage.runner = put[name]
    apply_settings(pipeline, ladder.rungs[0].settings)
    return put


def apply_settings(pipeline: Pipeline, settings: Mapping[str, Setting]) -> None:
    """Let a pipeline answer by the settings of a step from now on; its ladder was put in place before."""
    for name, setting in settings.items():
        stage: Any = pipeline.stages[name]
        if setting.rung is not None:
            stage.runner.current = setting.rung
        if setting.depth is not None:
            stage.depth = setting.depth


def _stage_of(pipeline: Pipeline, name: str, setting: Setting, folder: Path) -> Stage:
    again = "measure the artifact again with `twofold ladder`"
    stage = pipeline.stages.get(name)
    if stage is None:
        known = nearest(name, pipeline.stages)
        raise ArtifactError(f"{folder / LADDER} sets a stage {name!r}, which the artifact lacks; {known}")
    if setting.rung is not None and not isinstance(stage, Scaled):
        raise ArtifactError(f"{folder / LADDER} sets the rung of {name!r}, which has no network to exchange; {again}.")
    if setting.depth is not None and not isinstance(stage, Ranker | Fuser):
        raise ArtifactError(f"{folder / LADDER} sets the depth of {name!r}, which takes no candidates; {again}.")
    return stage
