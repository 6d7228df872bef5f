"""Pruning: weights that become zero, and layers, heads, neurons and tokens that go, so that shapes shrink.

torch is imported when something that needs it is asked for; the threshold's formula and the sparse storage are free
of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twofold.compress.prune.formula import threshold
    from twofold.compress.prune.influence import Importance, choose_layers, importance, layer_importance, weakest
    from twofold.compress.prune.reload import load_pruned
    from twofold.compress.prune.repairing import repair
    from twofold.compress.prune.schedule import Cubic, MaskedTask, gradual, masked
    from twofold.compress.prune.scores import magnitude, taylor, wanda
    from twofold.compress.prune.sparse import ZeroShare, apply_masks, sparsify, sparsify_below, zero_share
    from twofold.compress.prune.storage import Stored, load_sparse, save_sparse
    from twofold.compress.prune.structure import drop_heads, drop_layers, drop_neurons
    from twofold.compress.prune.tokens import drop_rows, drop_tokens
    from twofold.compress.prune.vocabulary import used_tokens

__all__ = [
    "Cubic",
    "Importance",
    "MaskedTask",
    "Stored",
    "ZeroShare",
    "apply_masks",
    "choose_layers",
    "drop_heads",
    "drop_layers",
    "drop_neurons",
    "drop_rows",
    "drop_tokens",
    "gradual",
    "importance",
    "layer_importance",
    "load_pruned",
    "load_sparse",
    "magnitude",
    "masked",
    "repair",
    "save_sparse",
    "sparsify",
    "sparsify_below",
    "taylor",
    "threshold",
    "used_tokens",
    "wanda",
    "weakest",
    "zero_share",
]

MODULES = {
    "formula": ("threshold",),
    "influence": ("Importance", "choose_layers", "importance", "layer_importance", "weakest"),
    "reload": ("load_pruned",),
    "repairing": ("repair",),
    "schedule": ("Cubic", "MaskedTask", "gradual", "masked"),
    "scores": ("magnitude", "taylor", "wanda"),
    "sparse": ("ZeroShare", "apply_masks", "sparsify", "sparsify_below", "zero_share"),
    "storage": ("Stored", "load_sparse", "save_sparse"),
    "structure": ("drop_heads", "drop_layers", "drop_neurons"),
    "tokens": ("drop_rows", "drop_tokens"),
    "vocabulary": ("used_tokens",),
}


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"twofold.compress.prune.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
