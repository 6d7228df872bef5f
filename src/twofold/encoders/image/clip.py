"""`Clip`: images and texts in one space, from a CLIP checkpoint in a folder."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats
from twofold.core.stage import Modality
from twofold.encoders.image.pictures import Pixels, View
from twofold.encoders.media import MediaEncoder
from twofold.encoders.session import Graph, batches, unit

__all__ = ["Clip", "ClipConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipConfig:
    """Options of `Clip`.

    Raises:
        ConfigError: an option is out of range.
    """

    model: str = ""
    """A folder with a CLIP model as transformers saves it: weights as safetensors, tokenizer, preprocessor."""
    column: str = "image"
    """The column of items that names the files."""
    folder: str = "."
    """Where the files lie; paths are relative to it, and none may lead out of it."""
    batch: int = 16
    """Images or texts that go through the network at once."""
    threads: int = 0
    """Threads of the network; 0 for as many as there are."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.threads < 0:
            raise ConfigError("a CLIP encoder wants a batch of at least 1 and threads of at least 0; mend them.")


class Clip(MediaEncoder):
    """Vectors of images and texts that were trained together, so that a text finds images without further training.

    Items are encoded by their image. Source: Radford et al., "Learning transferable visual models from natural
    language supervision", ICML 2021.
    """

    Config: ClassVar[type] = ClipConfig
    reads: tuple[Modality, ...] = ("text", "image")
    config: ClipConfig
    images: Graph
    texts: Graph
    tokenizer: Tokenizer
    """Cuts and pads every text to the length that the model was trained with."""
    view: View

    def load_network(self) -> None:
        """Read the checkpoint."""
        from twofold.encoders.image.clip_checkpoint import read_clip  # noqa: PLC0415

        found = read_clip(self.config.model)
        self.images = Graph(found.images, self.config.threads)
        self.texts = Graph(found.texts, self.config.threads)
        self.tokenizer, self.view = found.tokenizer, found.view

    def decode(self, content: bytes) -> Pixels:
        """Return an image's pixels as the network wants them."""
        return self.view.pixels(content)

    def features(self, decoded: Iterable[tuple[int, Pixels]], size: int) -> Floats:
        """Return the vectors of pictures."""
        vectors = np.zeros((size, self.images.width), np.float32)
        for rows, batch in batches(decoded, self.config.batch):
            vectors[rows] = unit(self.images(pixel_values=batch))
        return vectors

    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of texts or of image files' contents; an empty or unreadable one gets zeros."""
        if modality == "image":
            return super().encode(values, modality)
        rows = [(row, text) for row, text in enumerate(values) if text and not text.isspace()]
        vectors = np.zeros((len(values), self.texts.width), np.float32)
        for start in range(0, len(rows), self.config.batch):
            part = rows[start : start + self.config.batch]
            codes = self.tokenizer.encode_batch([text for _, text in part])
            ids = np.array([code.ids for code in codes], np.int64)
            mask = np.array([code.attention_mask for code in codes], np.int64)
            vectors[[row for row, _ in part]] = unit(self.texts(input_ids=ids, attention_mask=mask))
        return vectors

    def save(self, folder: Path) -> None:
        """Write both networks, tokenizer, view, vectors and report."""
        super().save(folder)
        self.images.save(folder / "image.onnx")
        self.texts.save(folder / "text.onnx")
        self.tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "view.json").write_text(json.dumps(asdict(self.view)), encoding="utf-8")

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; needs neither torch nor the checkpoint."""
        super().restore(folder, dataset)
        self.images = Graph.load(folder / "image.onnx", self.config.threads)
        self.texts = Graph.load(folder / "text.onnx", self.config.threads)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.view = View(**json.loads((folder / "view.json").read_text(encoding="utf-8")))
