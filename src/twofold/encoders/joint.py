"""`JointEncoder`: texts, images, sounds and behaviour in one space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError, QueryError
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.core.stage import Encoder, Modality, Stage
from twofold.encoders.behaviour import behaviour_vectors
from twofold.encoders.projection import Projection, load_projections, mean_of, save_projections
from twofold.train.options import Training

__all__ = ["JointConfig", "JointEncoder"]

MODALITIES: tuple[Modality, ...] = ("text", "image", "audio")
BEHAVIOUR = "behaviour"
NEEDED: dict[str, type[Stage]] = {"text": Encoder, "image": Encoder, "audio": Encoder}  # type: ignore[type-abstract]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointConfig:
    """Options of `JointEncoder`.

    Raises:
        ConfigError: an option is out of range, or fewer than two modalities are named.
    """

    text: str = "text"
    """The encoder of the recipe whose text vectors take part; empty for none."""
    image: str = "image"
    """The encoder of the recipe whose image vectors take part; empty for none."""
    audio: str = ""
    """The encoder of the recipe whose audio vectors take part; empty for none."""
    behaviour: int = 0
    """Length of the vectors of who liked an item, which take part too; 0 leaves them out."""
    dimensions: int = 256
    """Length of the vectors of the common space."""
    hidden: int = 0
    """Width of a hidden layer of each projection; 0 for linear projections."""
    temperature: float = 0.07
    """Divides the cosines in the loss."""
    dropout: float = 0.3
    """Share of an input vector's numbers that are hidden in a step of training."""
    held_out: float = 0.1
    """Share of the items with several modalities that only say when to stop; none, where that would be under 50."""
    batch: int = 256
    """Items that are told apart in a step of training."""
    training: Training = field(
        default_factory=lambda: Training(
            lr=5e-4, weight_decay=0.1, epochs=60, minutes=2.0, patience=5, precision="float32", threads=1
        )
    )
    """How long and how the projections are trained; they are so small that a second thread would only disturb."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.text, self.image, self.audio, self.behaviour))) < 2:
            raise ConfigError("a joint encoder wants at least two of text, image, audio and behaviour; name them.")
        if min(self.dimensions, self.batch - 1) < 1 or self.hidden < 0 or self.behaviour < 0 or self.temperature <= 0:
            raise ConfigError(
                "a joint encoder wants dimensions of at least 1, a batch of at least 2, hidden and behaviour of at "
                "least 0 and a temperature above 0; mend them."
            )
        if not 0 <= self.dropout < 1 or not 0 <= self.held_out < 1:
            raise ConfigError("a joint encoder wants dropout and held_out from 0 to below 1; mend them.")


class JointEncoder(Encoder):
    """Puts the vectors of other encoders into one space, so that a text finds images and an image finds texts.

    Each modality has a small projection. They are trained on the items that have several: two disjoint random parts of
    an item's modalities, each the mean of its projected vectors, must find each other among those of other items
    (InfoNCE, both ways). So any part of an item can stand for the whole, and what is missing is normal. An item's
    vector is the mean direction of all that it has. Items with equal text vectors are no negatives of each other.

    Source: van den Oord et al., "Representation learning with contrastive predictive coding" (2018); Radford et al.,
    "Learning transferable visual models from natural language supervision", ICML 2021; modality dropout: Neverova et
    al., "ModDrop" (2015).
    """

    Config: ClassVar[type] = JointConfig
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType(NEEDED)
    config: JointConfig
    projections: dict[str, Projection]
    behaviour: Floats
    """The items' behaviour vectors, [n, b]; [n, 0] where they take no part."""
    vectors: Floats

    def __init__(self, config: JointConfig | None = None) -> None:
        super().__init__(config)
        self.reads = tuple(name for name in MODALITIES if getattr(self.config, name))

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Train the projections on the items that have several modalities, and place all items.

        Raises:
            ConfigError: a named encoder does not read what it is named for, or none is linked.
            DataError: fewer than two items have several modalities.
        """
        from twofold.encoders.joint_training import train_projections  # noqa: PLC0415

        rng = np.random.default_rng(rng)
        for name, encoder in self.linked.items():
            if name not in encoder.reads:
                raise ConfigError(f"the encoder {getattr(self.config, name)!r} reads no {name}; name another.")
        size = len(dataset.items)
        self.behaviour = np.zeros((size, 0), np.float32)
        if self.config.behaviour:
            self.behaviour = behaviour_vectors(dataset.log, size, self.config.behaviour, rng)
        inputs = self._inputs(slice(None))
        self.projections = train_projections(inputs, self.config, seed=int(rng.integers(2**31)), progress=self.progress)
        self.vectors = self._placed(inputs)
        return self

    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of texts, or of image or audio files' contents, in the common space.

        Raises:
            QueryError: no encoder for the modality takes part.
        """
        if modality not in self.linked:
            raise QueryError(f"the joint encoder has no {modality}; name an encoder for it in the recipe.")
        return self.projections[modality](self.linked[modality].encode(values, modality))

    def encode_items(self, items: pl.DataFrame) -> Floats:
        """Return the vectors of items by their content alone."""
        return self._placed({name: encoder.encode_items(items) for name, encoder in self.linked.items()})

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Place items that changed anew; the encoders that are needed have taken the change in already."""
        fresh = np.zeros((len(dataset.items), self.behaviour.shape[1]), np.float32)
        fresh[: len(self.behaviour)] = self.behaviour
        self.behaviour = fresh
        vectors = np.zeros((len(dataset.items), self.vectors.shape[1]), np.float32)
        vectors[: len(self.vectors)] = self.vectors
        vectors[changed] = self._placed(self._inputs(changed))
        self.vectors = vectors

    def save(self, folder: Path) -> None:
        """Write projections and vectors."""
        save_projections(self.projections, folder / "projections.safetensors")
        np.save(folder / "behaviour.npy", self.behaviour, allow_pickle=False)
        np.save(folder / "vectors.npy", self.vectors, allow_pickle=False)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; needs no torch."""
        self.projections = load_projections(folder / "projections.safetensors")
        self.behaviour = np.load(folder / "behaviour.npy", mmap_mode="r", allow_pickle=False)
        self.vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)

    def _inputs(self, rows: Codes | slice) -> dict[str, Floats]:
        """Return the items' vectors by modality, before projection."""
        found = {name: encoder.vectors[rows] for name, encoder in self.linked.items()}
        return {**found, BEHAVIOUR: self.behaviour[rows]} if self.config.behaviour else found

    def _placed(self, inputs: Mapping[str, Floats]) -> Floats:
        return mean_of([self.projections[name](vectors) for name, vectors in inputs.items()])
