"""A CLIP checkpoint of transformers, taken apart into what runs without torch. Only `fit` needs this module."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer

from twofold.core.errors import ConfigError
from twofold.encoders.checkpoint import PLAIN, reading
from twofold.encoders.image.pictures import View
from twofold.encoders.onnx_export import export

__all__ = ["ClipParts", "read_clip"]

LONGEST = 77
"""Tokens of a text, as CLIP was trained; relatives that take more are cut there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipParts:
    """What a CLIP model is made of."""

    images: bytes
    """ONNX: `pixel_values` [b, 3, size, size] to vectors [b, d]."""
    texts: bytes
    """ONNX: `input_ids` and `attention_mask`, int64 [b, t], to vectors [b, d]."""
    tokenizer: Tokenizer
    view: View


class Tower(torch.nn.Module):
    """One of the two halves of a CLIP model."""

    def __init__(self, model: torch.nn.Module, call: str) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the vectors of a batch, [b, d]."""
        names = ("pixel_values",) if self.call == "get_image_features" else ("input_ids", "attention_mask")
        found = getattr(self.model, self.call)(**dict(zip(names, inputs, strict=True)))
        vectors: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
        return vectors


def read_clip(name: str) -> ClipParts:
    """Take a CLIP model in a folder apart.

    Raises:
        ConfigError: there is no such folder, or it holds no model of the CLIP family, or one whose weights are a
            pickle.
    """
    with reading(name, "CLIP") as folder:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if not hasattr(config, "vision_config") or not hasattr(config, "text_config"):
            raise ConfigError(f"{name} holds a model of type {config.model_type!r}, not of the CLIP family.")
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, **PLAIN).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        looks = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        view = _view(looks, config.vision_config.image_size)
    pixels = np.zeros((2, 3, view.size, view.size), np.float32)
    length = min(LONGEST, config.text_config.max_position_embeddings)
    codes = _fixed(tokenizer, length)
    tokens = [(code.ids, code.attention_mask) for code in codes.encode_batch(["a", "b c"])]
    ids, mask = (np.array(rows, np.int64) for rows in zip(*tokens, strict=True))
    return ClipParts(
        images=export(Tower(model, "get_image_features"), {"pixel_values": pixels}, "vectors"),
        texts=export(Tower(model, "get_text_features"), {"input_ids": ids, "attention_mask": mask}, "vectors"),
        tokenizer=codes,
        view=view,
    )


def _fixed(tokenizer: Any, length: int) -> Tokenizer:
    """Return the tokenizer set to cut and pad every text to one length."""
    codes: Tokenizer = tokenizer.backend_tokenizer
    codes.enable_truncation(length)
    codes.enable_padding(length=length, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    return codes


def _view(looks: dict[str, Any], size: int) -> View:
    """Return how the model looks at a picture, from its `preprocessor_config.json`."""
    given = looks["size"]
    edge = given if isinstance(given, int) else given.get("shortest_edge", 0)
    return View(
        size=size,
        crop=size / edge if edge and looks.get("do_center_crop", True) else 0.0,
        mean=tuple(255 * float(value) for value in looks["image_mean"]),
        std=tuple(255 * float(value) for value in looks["image_std"]),
    )
