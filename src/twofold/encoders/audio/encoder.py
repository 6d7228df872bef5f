"""`AudioEncoder`: items by what they sound like."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from twofold.core.dataset import Dataset
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats
from twofold.core.stage import Modality
from twofold.encoders.audio.sound import HOP, RATE, Samples, read_wave, spectrogram
from twofold.encoders.media import MediaEncoder
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


class AudioEncoder(MediaEncoder):
    """Vectors of sounds: what the encoder of a Whisper model hears, averaged over time, of length 1.

    It hears the first 30 seconds of WAV files; the silence behind a shorter sound does not count. Source: Radford et
    al., "Robust speech recognition via large-scale weak supervision" (2022).
    """

    Config: ClassVar[type] = AudioConfig
    reads: tuple[Modality, ...] = ("audio",)
    config: AudioConfig
    graph: Graph
    filters: npt.NDArray[np.float64]
    """The mel filter bank, [201, mels]."""
    places: int
    """How many places in time the network's output has."""

    def load_network(self) -> None:
        """Read the checkpoint."""
        from twofold.encoders.audio.whisper import read_whisper  # noqa: PLC0415

        found = read_whisper(self.config.model)
        self.graph = Graph(found.encoder, self.config.threads)
        self.filters, self.places = found.filters, found.places

    def decode(self, content: bytes) -> Samples:
        """Return the samples that the network hears."""
        return read_wave(content, self._size / RATE)

    def features(self, decoded: Iterable[tuple[int, Samples]], size: int) -> Floats:
        """Return the vectors of sounds."""
        vectors = np.zeros((size, self.graph.width), np.float32)
        for row, samples in decoded:
            heard = self.graph(features=spectrogram(samples, self.filters, self._size)[None])[0]
            length = min(-(-len(samples) // (2 * HOP)), self.places)
            vectors[row] = unit(heard[None, :length].mean(axis=1))[0]
        return vectors

    def save(self, folder: Path) -> None:
        """Write network, filters, vectors and report."""
        super().save(folder)
        self.graph.save(folder / "audio.onnx")
        np.save(folder / "filters.npy", self.filters, allow_pickle=False)
        np.save(folder / "places.npy", np.array(self.places), allow_pickle=False)

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote; needs neither torch nor the checkpoint."""
        super().restore(folder, dataset)
        self.graph = Graph.load(folder / "audio.onnx", self.config.threads)
        self.filters = np.load(folder / "filters.npy", allow_pickle=False)
        self.places = int(np.load(folder / "places.npy", allow_pickle=False))

    @property
    def _size(self) -> int:
        """How many samples the network hears; two windows make one place."""
        return 2 * self.places * HOP
