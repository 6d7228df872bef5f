"""`Distil`, `Static`: how a student begins and learns. Free of torch, so that recipes are read without it."""

from dataclasses import dataclass, field
from typing import Literal

from twofold.train.options import Training

__all__ = ["Distil", "Static", "Weighting"]

Weighting = Literal["sif", "zipf", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distil:
    """How a student learns a teacher's vectors: `embedding * apart + relation * ranked + layer * states`.

    The three losses are `embedding`, `relation` and `layers` of `twofold.compress.distil.losses`.
    """

    embedding: float = 1.0
    """Weight of how far each vector is from the teacher's."""
    distance: Literal["cosine", "mse"] = "cosine"
    """How that is measured."""
    relation: float = 1.0
    """Weight of how differently the rows of a batch are ranked by likeness to each other."""
    rows: Literal["kl", "mse"] = "kl"
    """How two rows of likenesses are compared."""
    temperature: float = 0.05
    """Of `kl`: the lower, the more the nearest rows count."""
    dimensions: tuple[int, ...] = ()
    """Lengths to which vectors are cut besides, so that their leading numbers are good vectors too (matryoshka)."""
    layer: float = 1.0
    """Weight of the states of mapped layers."""
    layers: tuple[tuple[int, int], ...] = ()
    """Which layer of the student learns the states of which one of the teacher, both from 0."""
    batch_size: int = 64
    """Rows that are compared with each other."""
    part: int = 0
    """Rows that are computed at once, to save memory; 0 for the whole batch. The gradient is the same."""
    held_out: int = 256
    """Rows put aside to measure the quality on, but no more than a fifth of all; 0 measures nothing."""
    measure: Literal["agreement", "cosine"] = "agreement"
    """Which quality chooses the weights that are kept: the mean overlap of the ten nearest neighbours with the
    teacher's, or the mean cosine to its vectors."""
    training: Training = field(default_factory=lambda: Training(epochs=3, lr=1e-4, evaluate_first=True))
    """How long and how."""

    def __post_init__(self) -> None:
        if min(self.embedding, self.relation, self.layer) < 0 or not (self.embedding or self.relation or self.layers):
            raise ValueError("distilling wants weights of 0 or more, and embedding or relation above 0, or layers.")
        if self.temperature <= 0 or self.batch_size < 2:
            raise ValueError("distilling wants temperature above 0 and batch_size of 2 or more.")
        if min(self.part, self.held_out, *self.dimensions, *(number for pair in self.layers for number in pair)) < 0:
            raise ValueError("distilling wants part, held_out, dimensions and layers of 0 or more.")
        if self.layers and self.part:
            raise ValueError("distilling by layers computes whole batches; set part = 0 or leave layers out.")
        if len({ours for ours, _ in self.layers}) < len(self.layers):
            raise ValueError("each layer of the student can learn from one layer of the teacher only.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """How a static student begins, and how its table is fitted."""

    dimensions: int = 256
    """Length of its vectors; 0 for the teacher's own, in the teacher's own space."""
    weighting: Weighting = "sif"
    """`sif` weighs a token by `a / (a + share)` of the texts' tokens, `zipf` by `log(1 + rank)` in the tokenizer's
    table, which is ordered by frequency where the tokenizer was made so."""
    rare: float = 1e-3
    """a of `sif`: the share at which a token counts half."""
    penalty: float = 0.1
    """How strongly the token vectors are held to where they begin."""
    rounds: int = 8
    """How often the lengths of the sums are set anew."""
    steps: int = 4
    """Of conjugate gradients in each round."""

    def __post_init__(self) -> None:
        if self.dimensions < 0 or self.rare <= 0:
            raise ValueError("a static student wants dimensions of 0 or more and rare above 0.")
        if self.penalty <= 0 or self.rounds < 0 or self.steps < 1:
            raise ValueError("a static student wants penalty above 0, rounds of 0 or more and steps of 1 or more.")
