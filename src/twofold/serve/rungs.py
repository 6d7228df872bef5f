"""`Rungs`: the sizes of the query encoder that are loaded, behind a cache of the vectors of search texts."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from twofold.core.errors import ArtifactError
from twofold.core.ladder import Ladder
from twofold.core.pipeline import Pipeline
from twofold.core.scores import Floats
from twofold.serve.control import Step

__all__ = ["SAMPLE", "Encodes", "Rungs", "Searches", "Spent", "VectorCache", "cache_searches", "open_rungs"]

SAMPLE = 16
"""Titles that a rung and the artifact's own encoder must agree on."""
AGREEMENT = 0.5
"""The mean cosine of their vectors at which a rung is taken for one of another model."""

Key = tuple[str, str, str]
"""An encoder, a rung, and a text."""


class Encodes(Protocol):
    """Turns texts into vectors; `twofold.encoders.text.runtime.TextVectors`."""

    @property
    def dimensions(self) -> int:
        """How long the vectors are."""
        ...

    def encode(self, texts: Sequence[str], *, prefix: str = "") -> Floats:
        """Return the vectors of texts, float32 [b, d]."""
        ...


@runtime_checkable
class Searches(Protocol):
    """An encoder stage whose search texts something else may encode."""

    searcher: Any


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


@dataclass(slots=True)
class Spent:
    """What encoding took in one thread."""

    seconds: float = 0.0
    hits: int = 0
    misses: int = 0
    rungs: dict[str, str] = field(default_factory=dict)
    """Which rung made the vector of each text."""


class Rungs:
    """An encoder of search texts at several sizes, of which one is used at a time.

    Args:
        name: the encoder's in the recipe.
        encoders: what encodes, by rung, the best first.
        cache: keeps vectors; several encoders may share it.
    """

    def __init__(self, name: str, encoders: Mapping[str, Encodes], cache: VectorCache) -> None:
        self.name, self.encoders = name, dict(encoders)
        self.current = next(iter(self.encoders))
        """The rung in use; setting it is all that a step is."""
        self._cache, self._local = cache, threading.local()

    @property
    def dimensions(self) -> int:
        """How long the vectors are."""
        return self.encoders[self.current].dimensions

    def encode(self, texts: Sequence[str], *, prefix: str = "") -> Floats:
        """Return the vectors of texts, float32 [b, d]; from the cache where it has one of this rung or a better one."""
        begun, rung = time.perf_counter(), self.current
        encoder, spent = self.encoders[rung], self._spent()
        vectors = np.zeros((len(texts), encoder.dimensions), np.float32)
        wanted = list(range(len(texts)))
        for known in self.encoders:
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

    def take(self) -> Spent:
        """Return what this thread spent since it last asked."""
        spent, self._local.spent = self._spent(), Spent()
        return spent

    def _spent(self) -> Spent:
        if not hasattr(self._local, "spent"):
            self._local.spent = Spent()
        spent: Spent = self._local.spent
        return spent


def cache_searches(pipeline: Pipeline, artifact: str, cache: VectorCache) -> list[Rungs]:
    """Put a cache before each encoder of search texts of an artifact, and return them, each with its one rung."""
    found = []
    for name, stage in pipeline.encoders.items():
        if isinstance(stage, Searches):
            rungs = Rungs(f"{artifact}/{name}", {"": stage.searcher}, cache)
            stage.searcher = rungs
            found.append(rungs)
    return found


def open_rungs(own: Rungs, titles: Sequence[str], folder: Path, *, threads: int = 0) -> list[Step]:
    """Let the rungs of a ladder encode in the place of the artifact's own encoder, and return them.

    Args:
        own: has the artifact's own encoder as its one rung.
        titles: some texts, on which rungs and that encoder must agree, since the items' vectors are of that encoder.
        folder: holds `ladder.json` and the folders of the rungs.
        threads: for one batch; 0 for as many as this process may use.

    Raises:
        ArtifactError: there is no ladder, or a rung cannot be opened or is of another model.
        ConfigError: the runtime of a rung is unknown.
        MissingExtraError: its runtime is not installed.
    """
    from twofold.compress.runtime import open_runtime  # noqa: PLC0415  only where there is a ladder
    from twofold.encoders.text.runtime import OnnxEncoder  # noqa: PLC0415

    ladder = Ladder.read(folder)
    teacher = next(iter(own.encoders.values()))
    expected = teacher.encode(titles[:SAMPLE])
    encoders: dict[str, Encodes] = {}
    for rung in ladder.rungs:
        network = open_runtime(folder / rung.folder, rung.runtime, output="sentence_embedding", threads=threads)
        encoder = OnnxEncoder(folder / rung.folder, network=network)
        if encoder.dimensions > teacher.dimensions:  # of a teacher whose leading numbers are kept
            encoder = OnnxEncoder(folder / rung.folder, network=network, dimensions=teacher.dimensions)
        found = encoder.encode(titles[:SAMPLE])
        if found.shape != expected.shape or float((found * expected).sum(axis=1).mean()) < AGREEMENT:
            raise ArtifactError(
                f"rung {rung.name!r} of {folder} gives other vectors than the encoder {own.name!r} that encoded the "
                "items; make the ladder from that encoder's folder with `twofold compress`."
            )
        encoders[rung.name] = encoder
    own.encoders, own.current = encoders, next(iter(encoders))
    top = ladder.rungs[0].quality
    return [Step(name=rung.name, quality=rung.quality / top, seconds=rung.milliseconds / 1000) for rung in ladder.rungs]
