"""The encoder of a Whisper checkpoint of transformers, as ONNX. Only `fit` needs this module."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, WhisperModel
from transformers.audio_utils import mel_filter_bank

from twofold.core.errors import ConfigError
from twofold.encoders.checkpoint import PLAIN, reading
from twofold.encoders.onnx_export import export

__all__ = ["WhisperParts", "read_whisper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperParts:
    """What is needed to hear."""

    encoder: bytes
    """ONNX: `features` [b, mels, 2 places] to [b, places, d]."""
    filters: npt.NDArray[np.float64]
    """The mel filter bank, [201, mels]."""
    places: int


class Encoder(torch.nn.Module):
    """The encoder alone, with one tensor as its output."""

    def __init__(self, model: WhisperModel) -> None:
        super().__init__()
        self.encoder = model.get_encoder()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return what is heard at each place in time, [b, places, d]."""
        heard: torch.Tensor = self.encoder(features).last_hidden_state
        return heard


def read_whisper(name: str) -> WhisperParts:
    """Return the encoder of a Whisper model in a folder.

    Raises:
        ConfigError: there is no such folder, or it holds no Whisper model, or one whose weights are a pickle.
    """
    with reading(name, "Whisper") as folder:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "whisper":
            raise ConfigError(f"{name} holds a model of type {config.model_type!r}, not Whisper; give another folder.")
        model = WhisperModel.from_pretrained(folder, dtype=torch.float32, **PLAIN)
        model.train(False)
    places = config.max_source_positions
    example = np.zeros((2, config.num_mel_bins, 2 * places), np.float32)
    return WhisperParts(
        encoder=export(Encoder(model), {"features": example}, "heard"),
        filters=mel_filter_bank(
            num_frequency_bins=201,
            num_mel_filters=config.num_mel_bins,
            min_frequency=0.0,
            max_frequency=8000.0,
            sampling_rate=16_000,
            norm="slaney",
            mel_scale="slaney",
        ),
        places=places,
    )
