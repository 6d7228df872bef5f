"""`ImageEncoder`: items by what their photographs look like."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats
from twofold.core.stage import Encoder, Modality
from twofold.encoders.image.centring import Centring
from twofold.encoders.image.pictures import Pixels, View
from twofold.encoders.media import Media, MediaReport, decoded
from twofold.encoders.session import Graph, batches, unit

__all__ = ["ImageConfig", "ImageEncoder"]

GRAPH = "image.onnx"
WIDTH = 1280
VIEW = View(size=224, crop=0.875, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
"""As the network was trained: the middle 224 of 256 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """Options of `ImageEncoder`.

    Raises:
        ConfigError: an option is out of range.
    """

    column: str = "image"
    """The column of items that names the files."""
    folder: str = "."
    """Where the files lie; paths are relative to it, and none may lead out of it."""
    dimensions: int = 128
    """Length of the vectors after centring; 0 leaves the network's 1,280 numbers as they are, from which a joint
    encoder learns better."""
    batch: int = 16
    """Images that go through the network at once."""
    threads: int = 0
    """Threads of the network; 0 for as many as there are."""

    def __post_init__(self) -> None:
        if not 0 <= self.dimensions <= WIDTH or self.batch < 1 or self.threads < 0:
            raise ConfigError(
                f"an image encoder wants dimensions from 0 to {WIDTH}, a batch of at least 1 and threads of at least 0."
            )


class ImageEncoder(Encoder):
    """Vectors of images from EfficientNet-Lite0, which was trained to tell 1,000 kinds of things apart.

    What its last layer before the kinds sees is averaged over the picture, divided by its length, and centred over
    the catalogue's images (see `Centring`), where there are enough: what all have in common then counts for nothing.
    Items without an image, and those whose file cannot be used, get zeros; `report` says which.

    Source: Tan and Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019.
    """

    Config: ClassVar[type] = ImageConfig
    reads: tuple[Modality, ...] = ("image",)
    config: ImageConfig
    graph: Graph
    centring: Centring | None
    vectors: Floats
    report: MediaReport
    """What came of the items' files, at `fit` or at the last `update`."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Encode the items' images; the network itself is not trained.

        Raises:
            ConfigError: the folder is missing, or the weights are not the known ones.
            MissingExtraError: torch or the package with the weights is not installed.
        """
        from twofold.encoders.image.efficientnet import read_weights  # noqa: PLC0415
        from twofold.encoders.onnx_export import export  # noqa: PLC0415

        media = self._media()
        example = np.zeros((2, 3, VIEW.size, VIEW.size), np.float32)
        self.graph = Graph(export(read_weights(), {"pixels": example}, "features"), self.config.threads)
        features = self._features(media.read(dataset.items, VIEW.pixels), len(dataset.items))
        self.report = media.report
        self.centring = Centring.fit(features, self.config.dimensions) if self.config.dimensions else None
        self.vectors = self._finished(features)
        return self

    def learns_log(self) -> bool:
        """See `Stage.learns_log`: it looks at the catalogue alone."""
        return False

    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of image files' contents; one that cannot be read gets zeros."""
        return self._finished(self._features(decoded(values, VIEW.pixels), len(values)))

    def encode_items(self, items: pl.DataFrame) -> Floats:
        """Return the vectors of items by their files; `report` says what came of them."""
        media = self._media()
        features = self._features(media.read(items, VIEW.pixels), len(items))
        self.report = media.report
        return self._finished(features)

    def save(self, folder: Path) -> None:
        """Write network, centring, vectors and report."""
        self.graph.save(folder / GRAPH)
        self.report.save(folder)
        np.save(folder / "vectors.npy", self.vectors, allow_pickle=False)
        if self.centring:
            self.centring.save(folder)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; needs no torch."""
        self.graph = Graph.load(folder / GRAPH, self.config.threads)
        self.report = MediaReport.load(folder)
        self.vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        self.centring = Centring.load(folder) if self.config.dimensions else None

    def _media(self) -> Media:
        return Media(self.config.column, self.config.folder)

    def _features(self, pixels: Iterable[tuple[int, Pixels]], size: int) -> Floats:
        """Return what the network sees in each of `size` rows, of length 1, or 0 where there is no picture."""
        features = np.zeros((size, WIDTH), np.float32)
        for rows, batch in batches(pixels, self.config.batch):
            features[rows] = unit(self.graph(pixels=batch))
        return features

    def _finished(self, features: Floats) -> Floats:
        return self.centring(features) if self.centring else features
