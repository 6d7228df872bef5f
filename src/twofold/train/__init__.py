"""Training with torch: one loop for all neural stages, its checkpoints, losses, and gradient caching.

Only the parts of a stage that fit import this package; a fitted stage is served without it.
"""

from twofold.train.caching import cached_backward
from twofold.train.checkpoint import Checkpoint
from twofold.train.loop import Task, TrainingReport, train
from twofold.train.losses import contrastive, cross_entropy, matryoshka, sampled_softmax
from twofold.train.options import Training

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
