"""Load a pruned transformer again: the shapes first, then the weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from twofold.compress.prune.families import find_body
from twofold.compress.prune.structure import SHAPE, keep_first
from twofold.core.errors import ArtifactError, ConfigError
from twofold.train.silence import silent

__all__ = ["load_pruned"]


def load_pruned(folder: Path) -> transformers.PreTrainedModel:
    """Load a model that was pruned and then written by its own `save_pretrained`, or by sentence-transformers.

    A fresh model is built from the config, gets the shapes that the config's `pruned_shape` tells, and then its
    weights, all of them and no others. A folder without `pruned_shape` is read as well, and by transformers itself.

    Args:
        folder: holds config.json and the weights as safetensors.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        ArtifactError: the folder is incomplete or damaged, or its weights do not fit its shapes.
    """
    try:
        with silent():
            model = _build(json.loads((folder / "config.json").read_text(encoding="utf-8")))
            files = sorted(folder.glob("*.safetensors"))
            weights = {name: value for file in files for name, value in load_file(file).items()}
            if not weights:
                raise ConfigError("there are no weights")
            _load(model, weights)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(f"{folder} holds no pruned model that can be read ({reason}); prune it again.") from error
    return model


def _build(described: Mapping[str, Any]) -> transformers.PreTrainedModel:
    """Return a fresh model with the shapes that a config tells."""
    config = transformers.AutoConfig.for_model(**described)
    name = (described.get("architectures") or [""])[0]
    kind = getattr(transformers, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise ConfigError(f"config.json names the class {name!r}, which is none of transformers'")
    model: transformers.PreTrainedModel = kind(config)
    model.train(False)
    shape = getattr(config, SHAPE, None)
    if shape is not None:
        keep_first(find_body(model), shape["heads"], shape["neurons"])
    return model


def _load(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give a model its weights; those that share memory with others need not be there."""
    kinds = {value.dtype for value in weights.values() if value.is_floating_point()}
    if len(kinds) == 1:
        model.to(kinds.pop())
    missing, unexpected = model.load_state_dict(dict(weights), strict=False)
    state = model.state_dict(keep_vars=True)
    there = {state[name].data_ptr() for name in weights if name in state}
    lacking = [name for name in missing if state[name].data_ptr() not in there]
    if lacking or unexpected:
        raise ConfigError(f"its weights lack {lacking[:3]} and have {list(unexpected)[:3]} too many")
