"""`ImageEncoder`: items by what their photographs look like."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats
from twofold.core.stage import Modality
from twofold.encoders.image.centring import Centring
from twofold.encoders.image.pictures import Pixels, View
from twofold.encoders.media import MediaEncoder
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


class ImageEncoder(MediaEncoder):
    """Vectors of images from EfficientNet-Lite0, which was trained to tell 1,000 kinds of things apart.

    What its last layer before the kinds sees is averaged over the picture, divided by its length, and centred over
    the catalogue's images (see `Centring`), where there are enough: what all have in common then counts for nothing.

    Source: Tan and Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019.
    """

    Config: ClassVar[type] = ImageConfig
    reads: tuple[Modality, ...] = ("image",)
    config: ImageConfig
    graph: Graph
    centring: Centring | None

    def load_network(self) -> None:
        """Read the weights."""
        from twofold.encoders.image.efficientnet import read_weights  # noqa: PLC0415
        from twofold.encoders.onnx_export import export  # noqa: PLC0415

        example = np.zeros((2, 3, VIEW.size, VIEW.size), np.float32)
        self.graph = Graph(export(read_weights(), {"pixels": example}, "features"), self.config.threads)

    def decode(self, content: bytes) -> Pixels:
        """Return an image's pixels as the network wants them."""
        return VIEW.pixels(content)

    def features(self, decoded: Iterable[tuple[int, Pixels]], size: int) -> Floats:
        """Return what the network sees in each of `size` rows, of length 1, or 0 where there is no picture."""
        features = np.zeros((size, WIDTH), np.float32)
        for rows, batch in batches(decoded, self.config.batch):
            features[rows] = unit(self.graph(pixels=batch))
        return features

    def learn(self, features: Floats) -> None:
        """Learn what the catalogue's images have in common."""
        self.centring = Centring.fit(features, self.config.dimensions) if self.config.dimensions else None

    def finish(self, features: Floats) -> Floats:
        """Centre features."""
        return self.centring(features) if self.centring else features

    def save(self, folder: Path) -> None:
        """Write network, centring, vectors and report."""
        super().save(folder)
        self.graph.save(folder / GRAPH)
        if self.centring:
            self.centring.save(folder)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; needs no torch."""
        super().restore(folder, dataset)
        self.graph = Graph.load(folder / GRAPH, self.config.threads)
        self.centring = Centring.load(folder) if self.config.dimensions else None
