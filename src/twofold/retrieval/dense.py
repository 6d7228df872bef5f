"""Dense retrieval: items whose vectors are near to that of a text, an image, other items or a history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from twofold.core import Batch, Dataset, Encoder, Evidence, Histories, Retriever, Stage
from twofold.core.errors import ConfigError, DataError
from twofold.core.ids import Codes
from twofold.core.scores import Floats, Mask
from twofold.retrieval.exact import BitCodes, ByteCodes, FloatCodes, Precision, Scan, VectorCodes, dots, encode_vectors
from twofold.retrieval.graph import Graph

__all__ = ["Dense", "DenseConfig", "VectorScores"]

LARGE = 100_000
"""From so many items on, `index = "auto"` builds a graph; see docs/decisions/0011-dense-index.md."""
GRAPH = "graph.usearch"


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseConfig:
    """Options of `Dense`."""

    encoder: str = ""
    """The encoder by its name in the recipe."""
    index: Literal["auto", "exact", "hnsw"] = "auto"
    """Whether every vector is looked at, or a graph is walked along; "auto" takes a graph from 100,000 items on."""
    precision: Precision = "int8"
    """The form in which an exact index looks at vectors; what it finds is always scored at full precision."""
    recency: float = 0.9
    """Each older like of a history counts this much of the next newer one."""
    neighbours: int = 16
    """Graph: neighbours of each vector."""
    build_width: int = 128
    """Graph: candidates that are kept while it is built; more makes a better graph, later."""
    width: int = 256
    """Graph: candidates that are kept in a search; more finds more of the nearest, later."""

    def __post_init__(self) -> None:
        if not 0 < self.recency <= 1:
            raise ValueError("dense retrieval wants recency above 0 and at most 1.")
        if self.neighbours < 2 or min(self.build_width, self.width) < 1:
            raise ValueError("dense retrieval wants neighbours >= 2, build_width >= 1 and width >= 1.")


@dataclass(frozen=True, slots=True)
class VectorScores:
    """Dot products of query vectors with the items' vectors, computed where they are asked for.

    No opinion (NaN) of items without a vector, and none of any item for a query without one.
    """

    queries: Floats
    """float32 [b, d]; zeros for no opinion."""
    index: Scan | Graph

    def top(self, k: int, allowed: Mask | None = None) -> tuple[Codes, Floats]:
        """See `Scores.top`."""
        known: npt.NDArray[np.bool_] = np.asarray(self.queries.any(axis=1))
        if known.all():
            return self.index.search(self.queries, k, allowed)
        found, values = self.index.search(self.queries[known], k, None if allowed is None else allowed[known])
        items = np.full((len(known), found.shape[1]), -1, np.int32)
        scores = np.full(items.shape, -np.inf, np.float32)
        items[known], scores[known] = found, values
        return items, scores

    def at(self, items: Codes) -> Floats:
        """See `Scores.at`."""
        vectors = self.index.vectors
        inside = np.where(items < len(vectors), items, np.int32(-1))
        scores = dots(vectors, inside, self.queries)
        scores[~self.queries.any(axis=1)] = np.nan
        scores[~self.index.present[inside]] = np.nan
        return scores


class Dense(Retriever):
    """Finds items by the vectors that an encoder gave them: the score is a dot product, of unit vectors the cosine.

    A text or an image is encoded as it comes. Items and histories stand as the mean of the vectors of what was
    liked, the newest like (age 0) most, scaled to length 1:

        q = Σ_e recency^age(e) v_e,    score(i) = q · v_i / |q|

    An item that has nothing to encode has a zero vector and is found by other retrievers alone. The vectors are
    the encoder's; what is kept here is an index of them.
    """

    Config: ClassVar[type] = DenseConfig
    config: DenseConfig
    evidence: ClassVar[tuple[Evidence, ...]] = ("text", "image", "items", "history")
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType({"encoder": Encoder})  # type: ignore[type-abstract]

    _index: Scan | Graph

    def answers(self) -> tuple[Evidence, ...]:
        """Return what its encoder can read, besides items and histories.

        Raises:
            ConfigError: it has no encoder.
        """
        reads = self._encoder.reads
        return tuple(evidence for evidence in self.evidence if evidence not in ("text", "image") or evidence in reads)

    @property
    def _encoder(self) -> Encoder:
        encoder = self.linked.get("encoder")
        if not isinstance(encoder, Encoder):
            raise ConfigError("dense retrieval has no encoder; set `encoder` to the name of one in [encode].")
        return encoder

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Index the encoder's vectors and return self.

        Raises:
            DataError: a vector is not finite.
        """
        vectors = self._checked(dataset, np.arange(len(dataset.items), dtype=np.int32))
        if self.config.index == "hnsw" or (self.config.index == "auto" and len(vectors) >= LARGE):
            self._index = Graph.of(vectors, **self._shape())
        else:
            self._index = Scan(vectors, encode_vectors(vectors, self.config.precision))
        return self

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Put the new vectors of items in the place of their old ones; an item whose vector is zero now is gone.

        Raises:
            DataError: a vector is not finite.
        """
        vectors, index = self._checked(dataset, changed), self._index
        if isinstance(index, Graph):
            self._index = index.put(vectors, changed)
        else:
            self._index = Scan(vectors, index.codes.put(vectors, changed))

    def _shape(self) -> dict[str, int]:
        """Return the options of a graph."""
        return {name: getattr(self.config, name) for name in ("neighbours", "build_width", "width")}

    def _checked(self, dataset: Dataset, codes: Codes) -> Floats:
        """Return the vectors of all items, of which those of some are new."""
        vectors = self._encoder.vectors
        strange = codes[~np.isfinite(vectors[codes]).all(axis=1)]
        if len(strange):
            raise DataError(
                f"the encoder {self.config.encoder!r} gave {dataset.item_ids.decode(strange[:1])[0]!r} a vector that "
                "is not finite; look at that item, or fit the encoder again."
            )
        return vectors

    def save(self, folder: Path) -> None:
        """Write the index; the vectors are the encoder's to save."""
        if isinstance(self._index, Graph):
            self._index.save(folder / GRAPH)
            return
        for name, array in self._index.codes.arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Open what `save` wrote, memory-mapped."""
        vectors = self._encoder.vectors
        if (folder / GRAPH).exists():
            self._index = Graph.load(folder / GRAPH, vectors, **self._shape())
            return
        arrays: dict[str, Any] = {
            path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")
        }
        codes: VectorCodes = FloatCodes(vectors)
        if self.config.precision != "float32":
            codes = (ByteCodes if self.config.precision == "int8" else BitCodes)(**arrays)
        self._index = Scan(vectors, codes)

    def score(self, batch: Batch, evidence: Evidence) -> VectorScores:
        """Score items where they are asked for; see `Retriever.score`."""
        if evidence == "text":
            queries = self._encoded(batch.texts, "text")
        elif evidence == "image":
            queries = self._encoded(batch.images or [None] * len(batch), "image")
        else:
            queries = self._means(batch.events(evidence))
        return VectorScores(queries, self._index)

    def contributions(self, batch: Batch, evidence: Evidence, items: Codes) -> Floats | None:
        """Return what each event adds to the scores of items, float32 [events, items]; a dislike adds 0."""
        if evidence not in ("items", "history"):
            return None
        events, vectors = batch.events(evidence), self._index.vectors
        amounts = np.zeros((len(events.items), len(items)), np.float32)
        likes, weights = self._likes(events)
        length = np.linalg.norm(weights @ vectors[likes.items])
        if length > 0:
            counted = np.flatnonzero((events.values > 0) & (events.items < len(vectors)))
            amounts[counted] = weights[:, None] * (vectors[likes.items] @ vectors[items].T) / length
        return amounts

    def _encoded(self, values: Sequence[Any], modality: Literal["text", "image"]) -> Floats:
        """Return the vectors of what was given, zeros for nothing."""
        given = [row for row, value in enumerate(values) if value is not None]
        queries = np.zeros((len(values), self._index.vectors.shape[1]), np.float32)
        if given:
            queries[given] = self._encoder.encode([values[row] for row in given], modality)
        queries[~np.isfinite(queries).all(axis=1)] = 0
        return queries

    def _likes(self, events: Histories) -> tuple[Histories, npt.NDArray[np.float32]]:
        """Return the likes of items that have a place in the index, and how much each counts."""
        likes = events.likes()
        likes = likes.where(likes.items < len(self._index.vectors))
        return likes, np.power(np.float32(self.config.recency), likes.ages.astype(np.float32))

    def _means(self, events: Histories) -> Floats:
        """Return the weighted mean of the likes of each row, of length 1; zeros where there is none."""
        likes, weights = self._likes(events)
        vectors, limits = self._index.vectors, likes.indptr
        means = np.zeros((len(events), vectors.shape[1]), np.float32)
        for row, (start, stop) in enumerate(pairwise(limits.tolist())):
            means[row] = weights[start:stop] @ vectors[likes.items[start:stop]]
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        unit: Floats = (means / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return unit
