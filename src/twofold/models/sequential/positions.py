"""Where in a history an event is: positions turn the vectors that attention compares."""

import numpy as np

from twofold.core.scores import Floats
from twofold.models.sequential.config import SequentialConfig

__all__ = ["rotary_tables", "visible"]

BASE = 10_000.0


def visible(config: SequentialConfig) -> int:
    """Return how many events of a history are looked at; a masked model needs a place for the one that is asked."""
    return config.length - (config.objective == "masked")


def rotary_tables(config: SequentialConfig) -> tuple[Floats, Floats]:
    """Return the cosines and sines by which positions turn a head's numbers, float32 [length + 1, d / h / 2]."""
    half = config.width // config.heads // 2
    angles = np.arange(config.length + 1)[:, None] / BASE ** (np.arange(half) / half)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
