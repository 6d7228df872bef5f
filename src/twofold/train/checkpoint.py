"""`Checkpoint`: all that a training needs to go on after a kill, as safetensors and JSON.

weights.safetensors     what is trained, as it stands
optimizer.safetensors   the moments of AdamW
best.safetensors        the weights of the best held-out quality so far, where there is any
random.safetensors      the states of torch's random generators
manifest.json           where the training stands, what it belongs to, sizes and hashes
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file

from twofold.core.artifact import Artifact
from twofold.core.errors import ArtifactError

__all__ = ["Checkpoint", "Weights", "random_state", "set_random_state", "trained_weights"]

Weights = dict[str, torch.Tensor]
PARTS = ("weights", "optimizer", "best", "random")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A training at one moment."""

    position: Mapping[str, Any]
    """Epoch, batch, step, elapsed seconds, best quality and the like: plain values."""
    weights: Weights
    optimizer: Weights
    best: Weights
    random: Weights

    def save(self, folder: Path, owner: Mapping[str, Any]) -> None:
        """Write the checkpoint in place of the one before; a kill in the middle leaves one of them whole.

        Args:
            folder: where; it is made, and only ever replaced as a whole.
            owner: what the training is of, as plain values; `load` wants the same.

        Raises:
            ArtifactError: it cannot be written; the one before stays.
        """

        def build(empty: Path) -> None:
            for part in PARTS:
                save_file(getattr(self, part), empty / f"{part}.safetensors")

        Artifact.write(folder, build, {"checkpoint": {"owner": dict(owner), "position": dict(self.position)}})

    @classmethod
    def load(cls, folder: Path, owner: Mapping[str, Any]) -> Self | None:
        """Read the checkpoint in a folder; None where there is none yet.

        Raises:
            ArtifactError: it is damaged, or belongs to a training with other options, data or weights.
        """
        if not folder.exists():
            return None
        saved = Artifact.open(folder).manifest.get("checkpoint")
        if saved is None:
            raise ArtifactError(f"{folder} is no checkpoint of a training; give another path.")
        owner = json.loads(json.dumps(dict(owner)))  # as it was written
        if other := sorted(key for key in {*owner, *saved["owner"]} if owner.get(key) != saved["owner"].get(key)):
            raise ArtifactError(
                f"the checkpoint at {folder} belongs to a training with another {' and '.join(other)}; "
                "remove it, or train as before."
            )
        return cls(position=saved["position"], **{part: load_file(folder / f"{part}.safetensors") for part in PARTS})


def trained_weights(module: torch.nn.Module) -> Weights:
    """Return copies of the parameters that are trained and of all buffers, on the CPU."""
    frozen = {name for name, value in module.named_parameters(remove_duplicate=False) if not value.requires_grad}
    return {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in module.state_dict().items()
        if name not in frozen
    }


def random_state() -> Weights:
    """Return the states of torch's random generators, of all devices."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_random_state(states: Mapping[str, torch.Tensor]) -> None:
    """Put torch's random generators where `random_state` found them."""
    torch.set_rng_state(states["cpu"])
    for index in range(torch.cuda.device_count()):
        if f"cuda.{index}" in states:
            torch.cuda.set_rng_state(states[f"cuda.{index}"], index)
