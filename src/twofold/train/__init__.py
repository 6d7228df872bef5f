"""Training with torch: one loop for all neural stages, its checkpoints, losses, and gradient caching.

Only the parts of a stage that fit use it; a fitted stage is served without torch. So torch is imported when
something that needs it is asked for, and `Training`, which recipes hold, is free of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from twofold.train.options import Training

if TYPE_CHECKING:
    from twofold.train.caching import cached_backward
    from twofold.train.checkpoint import Checkpoint
    from twofold.train.loop import Task, TrainingReport, train
    from twofold.train.losses import contrastive, cross_entropy, matryoshka, sampled_softmax

__all__ = [
    "Checkpoint",
    "Task",
    "Training",
    "TrainingReport",
    "cached_backward",
    "contrastive",
    "cross_entropy",
    "matryoshka",
    "sampled_softmax",
    "train",
]

MODULES = {
    "caching": ("cached_backward",),
    "checkpoint": ("Checkpoint",),
    "loop": ("Task", "TrainingReport", "train"),
    "losses": ("contrastive", "cross_entropy", "matryoshka", "sampled_softmax"),
}


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"twofold.train.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
