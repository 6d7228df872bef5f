"""A network's layers: where they stand, and what they give. Needs torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from twofold.core.errors import ConfigError

__all__ = ["check_finite", "check_smaller", "layers_of", "size_of", "watched"]


def layers_of(module: nn.Module) -> nn.ModuleList:
    """Return the layers of a transformer of any family: its longest list of modules that lies in no other.

    Raises:
        ConfigError: it has none.
    """
    places = {name: part for name, part in module.named_modules() if isinstance(part, nn.ModuleList)}
    stacks = [part for name, part in places.items() if not any(name.startswith(f"{above}.") for above in places)]
    if not stacks:
        raise ConfigError(f"{type(module).__name__} has no list of layers; distil its outputs only (layers = []).")
    return max(stacks, key=len)


@contextmanager
def watched(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what the layers of a module give [b, l, d], in order, while it runs inside."""
    states: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        states.append(output if isinstance(output, Tensor) else output[0])

    hooks = [layer.register_forward_hook(keep) for layer in layers_of(module)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def size_of(module: nn.Module) -> int:
    """Return how many numbers a module has learned; those that two parts share count once."""
    return sum(value.numel() for value in module.parameters())


def check_smaller(student: nn.Module, teacher: nn.Module | int) -> None:
    """Refuse a student with more parameters than its teacher.

    Raises:
        ConfigError: it has.
    """
    ours, theirs = size_of(student), teacher if isinstance(teacher, int) else size_of(teacher)
    if ours > theirs:
        raise ConfigError(
            f"the student has {ours:,} parameters and its teacher {theirs:,}; give a student that is smaller."
        )


def check_finite(module: nn.Module, what: str) -> None:
    """Refuse weights that are no numbers, and such as are quantised and cannot be learned on.

    Args:
        module: the network.
        what: its name in the message, such as "the teacher".

    Raises:
        ConfigError: it has such weights.
    """
    for name, value in module.named_parameters():
        if not value.is_floating_point() or value.is_quantized:
            raise ConfigError(f"{what} is already quantised ({name}); give the model in full precision.")
        if not torch.isfinite(value).all():
            raise ConfigError(f"{what} has weights that are no numbers ({name}); get others.")
