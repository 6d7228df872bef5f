"""`PairModel`: the network of a cross-encoder. Only `fit` needs this module, and torch and transformers with it."""

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn import functional

from twofold.core.errors import ConfigError
from twofold.train.silence import silent

__all__ = ["PairModel", "export", "freeze", "load_encoder"]


class PairModel(torch.nn.Module):
    """Reads a search text and an item's text together and says how well they fit.

    With u and v the means of the token vectors of the two sides, of length 1, the logit is `w · (u ∘ v) + b`. At the
    start all of w are alike, so it is a cosine: a model that was trained to encode texts one by one says something
    sensible before it has learned to read two. Each side sees the other through the attention.

    Args:
        encoder: a transformer of the BERT family with token vectors [b, l, d].
        scale: of w at the start.
    """

    encoder: Any

    def __init__(self, encoder: torch.nn.Module, scale: float = 20.0) -> None:
        super().__init__()
        self.encoder = encoder
        config: Any = encoder.config
        self.typed = int(getattr(config, "type_vocab_size", 0) or 0) > 1
        self.weights = torch.nn.Parameter(torch.full((int(config.hidden_size),), scale))
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, sides: Tensor) -> Tensor:
        """Return logits [b] for token ids, mask and sides [b, l]; see `PairTokens`."""
        types = {"token_type_ids": sides} if self.typed else {}
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        left = self._mean(states, attention_mask * (1 - sides))
        right = self._mean(states, attention_mask * sides)
        logits: Tensor = (left * right) @ self.weights + self.bias
        return logits

    def _mean(self, states: Tensor, mask: Tensor) -> Tensor:
        shares = mask[:, :, None].to(states.dtype)
        return functional.normalize((states * shares).sum(dim=1), dim=1)


def load_encoder(folder: Path) -> torch.nn.Module:
    """Load the transformer of a Hugging Face folder; weights must be safetensors.

    Raises:
        ConfigError: the folder cannot be read.
    """
    try:
        with silent():
            model: torch.nn.Module = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
    except Exception as error:  # damaged folders make the library raise nearly anything
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{folder} cannot be read as a language model ({reason}); check the folder.") from error
    return model


def freeze(model: PairModel, layers: int) -> None:
    """Leave the lowest layers as they are, and the tables of tokens and places with them; 0 trains all.

    Raises:
        ConfigError: the model has fewer layers.
    """
    stacks = [module for module in model.encoder.modules() if isinstance(module, torch.nn.ModuleList)]
    stack = max(stacks, key=len, default=torch.nn.ModuleList())
    if layers > len(stack):
        raise ConfigError(f"the model has {len(stack)} layers, fewer than frozen_layers = {layers}; lower that.")
    tables = [module for module in model.encoder.modules() if isinstance(module, torch.nn.Embedding)]
    for module in [*stack[:layers], *tables] if layers else []:
        module.requires_grad_(False)


def export(model: PairModel) -> bytes:
    """Return the network as an ONNX file whose batch and length may be any; the attention is written out ("eager")."""
    before = model.encoder.config._attn_implementation
    ids = torch.arange(1, 13).reshape(2, 6)
    sides = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    names = ["input_ids", "attention_mask", "sides"]
    model.eval()
    try:
        model.encoder.set_attn_implementation("eager")
        with (
            tempfile.TemporaryDirectory(prefix="twofold-") as folder,
            warnings.catch_warnings(),
            torch.no_grad(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (ids, mask, sides),
                str(Path(folder) / "model.onnx"),
                input_names=names,
                output_names=["logits"],
                dynamic_axes={**{name: {0: "batch", 1: "tokens"} for name in names}, "logits": {0: "batch"}},
                opset_version=17,
                dynamo=False,
            )
            return (Path(folder) / "model.onnx").read_bytes()
    finally:
        model.encoder.set_attn_implementation(before)
