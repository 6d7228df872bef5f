"""Pruning: weights that become zero, and layers, heads, neurons and tokens that go, so that shapes shrink.

torch is imported when something that needs it is asked for; the threshold's formula and the sparse storage are free
of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twofold.compress.prune.formula import threshold
    from twofold.compress.prune.reload import load_pruned
    from twofold.compress.prune.schedule import Cubic, MaskedTask, gradual, masked
    from twofold.compress.prune.scores import magnitude, taylor, wanda
    from twofold.compress.prune.sparse import ZeroShare, apply_masks, sparsify, sparsify_below, zero_share
    from twofold.compress.prune.structure import drop_heads, drop_layers, drop_neurons
    from twofold.compress.prune.tokens import drop_rows, drop_tokens
    from twofold.compress.prune.vocabulary import used_tokens

__all__ = [
    "Cubic",
    "MaskedTask",
    "ZeroShare",
    "apply_masks",
    "drop_heads",
    "drop_layers",
    "drop_neurons",
    "drop_rows",
    "drop_tokens",
    "gradual",
    "load_pruned",
    "magnitude",
    "masked",
    "sparsify",
    "sparsify_below",
    "taylor",
    "threshold",
    "used_tokens",
    "wanda",
    "zero_share",
]

MODULES = {
    "formula": ("threshold",),
    "reload": ("load_pruned",),
    "schedule": ("Cubic", "MaskedTask", "gradual", "masked"),
    "scores": ("magnitude", "taylor", "wanda"),
    "sparse": ("ZeroShare", "apply_masks", "sparsify", "sparsify_below", "zero_share"),
    "structure": ("drop_heads", "drop_layers", "drop_neurons"),
    "tokens": ("drop_rows", "drop_tokens"),
    "vocabulary": ("used_tokens",),
}


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"twofold.compress.prune.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
