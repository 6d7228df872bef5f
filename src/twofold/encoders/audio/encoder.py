"""`AudioEncoder`: items by what they sound like."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats
from twofold.core.stage import Encoder, Modality
from twofold.encoders.audio.sound import HOP, RATE, Samples, read_wave, spectrogram
from twofold.encoders.media import Media, MediaReport, decoded
from twofold.encoders.session import Graph, unit

__all__ = ["AudioConfig", "AudioEncoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioConfig:
    """Options of `AudioEncoder`.

    Raises:
        ConfigError: an option is out of range.
    """

    model: str = ""
    """A folder with a Whisper model as transformers saves it, its weights as safetensors."""
    column: str = "audio"
    """The column of items that names the files."""
    folder: str = "."
    """Where the files lie; paths are relative to it, and none may lead out of it."""
    threads: int = 0
    """Threads of the network; 0 for as many as there are."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ConfigError("an audio encoder wants threads of at least 0; mend them.")


class AudioEncoder(Encoder):
    """Vectors of sounds: what the encoder of a Whisper model hears, averaged over time, of length 1.

    It hears the first 30 seconds of WAV files; the silence behind a shorter sound does not count. Items without a
    sound, and those whose file cannot be used, get zeros; `report` says which. Source: Radford et al., "Robust speech
    recognition via large-scale weak supervision" (2022).
    """

    Config: ClassVar[type] = AudioConfig
    reads: tuple[Modality, ...] = ("audio",)
    config: AudioConfig
    graph: Graph
    filters: npt.NDArray[np.float64]
    """The mel filter bank, [201, mels]."""
    places: int
    """How many places in time the network's output has."""
    vectors: Floats
    report: MediaReport
    """What came of the items' files, at `fit` or at the last `update`."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Encode the items' sounds; the network itself is not trained.

        Raises:
            ConfigError: a folder is missing, or does not hold a Whisper model with safetensors weights.
        """
        from twofold.encoders.audio.whisper import read_whisper  # noqa: PLC0415

        media = Media(self.config.column, self.config.folder)
        found = read_whisper(self.config.model)
        self.graph = Graph(found.encoder, self.config.threads)
        self.filters, self.places = found.filters, found.places
        self.vectors = self._items(media, dataset.items)
        return self

    def learns_log(self) -> bool:
        """See `Stage.learns_log`: it looks at the catalogue alone."""
        return False

    def encode(self, values: Sequence[Any], modality: Modality) -> Floats:
        """Return the vectors of WAV files' contents; one that cannot be read gets zeros."""
        return self._heard(decoded(values, self._samples), len(values))

    def encode_items(self, items: pl.DataFrame) -> Floats:
        """Return the vectors of items by their files; `report` says what came of them."""
        return self._items(Media(self.config.column, self.config.folder), items)

    def save(self, folder: Path) -> None:
        """Write network, filters, vectors and report."""
        self.graph.save(folder / "audio.onnx")
        np.save(folder / "filters.npy", self.filters, allow_pickle=False)
        np.save(folder / "places.npy", np.array(self.places), allow_pickle=False)
        np.save(folder / "vectors.npy", self.vectors, allow_pickle=False)
        self.report.save(folder)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; needs neither torch nor the checkpoint."""
        self.graph = Graph.load(folder / "audio.onnx", self.config.threads)
        self.filters = np.load(folder / "filters.npy", allow_pickle=False)
        self.places = int(np.load(folder / "places.npy", allow_pickle=False))
        self.vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        self.report = MediaReport.load(folder)

    @property
    def _size(self) -> int:
        """How many samples the network hears; two windows make one place."""
        return 2 * self.places * HOP

    def _samples(self, content: bytes) -> Samples:
        return read_wave(content, self._size / RATE)

    def _items(self, media: Media, items: pl.DataFrame) -> Floats:
        vectors = self._heard(media.read(items, self._samples), len(items))
        self.report = media.report
        return vectors

    def _heard(self, sounds: Iterable[tuple[int, Samples]], size: int) -> Floats:
        vectors = np.zeros((size, self.graph.width), np.float32)
        for row, samples in sounds:
            heard = self.graph(features=spectrogram(samples, self.filters, self._size)[None])[0]
            length = min(-(-len(samples) // (2 * HOP)), self.places)
            vectors[row] = unit(heard[None, :length].mean(axis=1))[0]
        return vectors
