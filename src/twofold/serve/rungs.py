"""The ladder that a server climbs, put in place, and the cache of the vectors of search texts before the encoders."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from twofold.core.errors import ArtifactError
from twofold.core.ladder import Ladder, Setting
from twofold.core.pipeline import Pipeline
from twofold.core.rungs import OWN, Rungs, Scaled, put_ladder
from twofold.core.scores import Floats
from twofold.serve.control import Step

__all__ = ["CachedRungs", "VectorCache", "cache_searches", "ladder_of", "open_ladder"]

Key = tuple[str, str, str]
"""An encoder, a rung, and a text."""


class VectorCache:
    """Vectors of the texts that were asked for last; it may be used by several threads.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._vectors: OrderedDict[Key, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def find(self, keys: Sequence[Key]) -> list[Floats | None]:
        """Return the vector of each key, None where it is not kept."""
        with self._lock:
            found = [self._vectors.get(key) for key in keys]
            for key, vector in zip(keys, found, strict=True):
                if vector is not None:
                    self._vectors.move_to_end(key)
        return found

    def put(self, keys: Sequence[Key], vectors: Floats) -> None:
        """Keep vectors [b, d]; those that were not asked for longest make room."""
        with self._lock:
            for key, vector in zip(keys, vectors, strict=True):
                self._vectors[key] = vector.copy()
                self._vectors.move_to_end(key)
            while len(self._vectors) > self._most:
                self._vectors.popitem(last=False)


class CachedRungs(Rungs):
    """An encoder of search texts at several sizes, behind a cache.

    Args:
        name: the encoder's, among those that share the cache.
        sizes: what encodes, by rung, the best first.
        cache: keeps vectors; several encoders may share it.
    """

    def __init__(self, name: str, sizes: Mapping[str, object], cache: VectorCache) -> None:
        super().__init__(sizes)
        self.name, self._cache = name, cache

    def encode(self, texts: Sequence[str], *, prefix: str = "") -> Floats:
        """Return the vectors of texts, float32 [b, d]; from the cache where it has one of this rung or a better one."""
        begun, rung = time.perf_counter(), self.current
        encoder, spent = self.sizes[rung], self._spent()
        vectors = np.zeros((len(texts), encoder.dimensions), np.float32)
        wanted = list(range(len(texts)))
        for known in self.sizes:
            found = self._cache.find([(self.name, known, prefix + texts[row]) for row in wanted])
            for row, vector in zip(wanted, found, strict=True):
                if vector is not None:
                    vectors[row] = vector
                    spent.rungs[texts[row]] = known
            wanted = [row for row, vector in zip(wanted, found, strict=True) if vector is None]
            if known == rung or not wanted:
                break
        if wanted:
            new = encoder.encode([texts[row] for row in wanted], prefix=prefix)
            vectors[wanted] = new
            self._cache.put([(self.name, rung, prefix + texts[row]) for row in wanted], new)
            spent.rungs |= {texts[row]: rung for row in wanted}
        spent.hits += len(texts) - len(wanted)
        spent.misses += len(wanted)
        spent.seconds += time.perf_counter() - begun
        return vectors

    def of(self, text: str) -> str:
        """Return which rung made the vector of a text that this thread encoded since it last took what it spent."""
        return self._spent().rungs.get(text, self.current)


def cache_searches(pipeline: Pipeline, artifact: str, cache: VectorCache) -> dict[str, CachedRungs]:
    """Put a cache before each encoder of search texts of an artifact, and return them, each with its one rung."""
    found = {}
    for name, stage in pipeline.encoders.items():
        if isinstance(stage, Scaled):
            stage.runner = found[name] = CachedRungs(f"{artifact}/{name}", {OWN: stage.runner}, cache)
    return found


def ladder_of(artifact: Path) -> Path:
    """Return where an artifact's ladder lies, unless another is named: its own, else one of an encoder beside it."""
    own = artifact.with_name(f"{artifact.name}-ladder")
    return own if own.is_dir() else artifact.with_name("ladder")


def open_ladder(pipeline: Pipeline, artifact: str, folder: Path, *, threads: int = 0) -> tuple[list[Step], list[Rungs]]:
    """Put a ladder in place, and return its steps and what runs in the stages that they set.

    Args:
        pipeline: a fitted one.
        artifact: the sha256 of its artifact.
        folder: holds `ladder.json` and the folders of the rungs.
        threads: for one batch; 0 for as many as this process may use.

    Raises:
        ArtifactError: there is no ladder, or it was measured with another artifact, or a rung cannot be opened or is
            of another model.
        ConfigError: the runtime of a rung is unknown.
        MissingExtraError: its runtime is not installed.
    """
    from twofold.compress.runtime import open_runtime  # noqa: PLC0415  only where there is a ladder

    ladder = _climbable(Ladder.read(folder), pipeline, folder)
    if ladder.artifact not in (None, artifact):
        raise ArtifactError(
            f"the ladder {folder} was measured with another artifact; measure this one with `twofold ladder`."
        )
    put = put_ladder(pipeline, ladder, folder, partial(open_runtime, threads=threads))
    top = ladder.rungs[0].quality
    steps = [
        Step(
            name=rung.name,
            quality=rung.quality / top,
            seconds=(rung.milliseconds if rung.network_milliseconds is None else rung.network_milliseconds) / 1000,
            settings=rung.settings,
        )
        for rung in ladder.rungs
    ]
    return steps, list(put.values())


def _climbable(ladder: Ladder, pipeline: Pipeline, folder: Path) -> Ladder:
    """Return a pipeline's ladder as it is; of a query encoder's, each rung becomes a step that sets that encoder.

    Raises:
        ArtifactError: the pipeline has no encoder of search texts.
    """
    if ladder.artifact is not None:
        return ladder
    name = next((name for name, stage in pipeline.encoders.items() if isinstance(stage, Scaled)), None)
    if name is None:
        raise ArtifactError(
            f"the ladder {folder} is of one stage, and the artifact has no encoder of search texts to climb it; "
            "measure the whole artifact with `twofold ladder`."
        )
    steps = [replace(rung, settings={name: Setting(rung=rung.name)}) for rung in ladder.rungs]
    return replace(ladder, rungs=steps, stages={name: ladder})
