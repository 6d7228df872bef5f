"""A transformer over histories."""

from twofold.models.sequential.config import Features, SequentialConfig, SequentialTraining
from twofold.models.sequential.sequential import Sequential

__all__ = ["Features", "Sequential", "SequentialConfig", "SequentialTraining"]
