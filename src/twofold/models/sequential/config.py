"""Options of the sequential model."""

from dataclasses import dataclass, field
from typing import Literal

from twofold.train.options import Training

__all__ = ["Features", "SequentialConfig", "SequentialTraining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialTraining(Training):
    """How long and how a sequential model is trained."""

    lr: float = 2e-3
    """The largest learning rate of AdamW."""
    epochs: int | None = 30
    """How often the histories are gone through."""
    minutes: float | None = 10.0
    """By when it ends, evaluation included."""
    patience: int = 10
    """Stop after so many evaluations in a row without a better held-out quality; 0 for never. Much of the gain comes
    late, when the learning rate falls, so patience should be long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What of an event is seen besides its item. A feature that the log does not have costs nothing."""

    gaps: bool = True
    """The time since the event before."""
    values: bool = True
    """Whether it was a like or a dislike, and how strong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialConfig:
    """Options of the sequential model."""

    width: int = 64
    """Length of the vectors of items and of states."""
    layers: int = 2
    """Blocks of attention and feed-forward."""
    heads: int = 2
    """Heads of attention in each; `width / heads` must be even."""
    kernel: int = 6
    """How many newest events each place also sees through a short convolution, which learns quickly what follows
    what; 0 for none. Only where the objective is `causal`."""
    length: int = 200
    """How many of a user's newest events are looked at."""
    dropout: float = 0.2
    """Share of what a block adds that is left out in training."""
    embedding_dropout: float = 0.2
    """Share of the numbers that enter the first block that is left out in training."""
    objective: Literal["causal", "masked"] = "causal"
    """`causal`: each event is told from those before it, as in SASRec; `masked`: some events are told from all
    others, as in BERT4Rec."""
    masked: float = 0.25
    """Share of events that are hidden where the objective is `masked`."""
    loss: Literal["auto", "full", "sampled"] = "auto"
    """`full`: cross-entropy over all items; `sampled`: over `negatives` of them; `auto`: sampled beyond 50,000."""
    negatives: int = 2_000
    """Sampled loss: items that a batch is told apart from."""
    features: Features = field(default_factory=Features)
    spectral: bool = True
    """Whether the vectors of items start from what is liked near each other, instead of at random."""
    encoder: str = ""
    """An encoder of the recipe: what it says of an item is added to the item's vector, so that items are found that
    nobody has touched yet. Empty for none."""
    content_dropout: float = 0.1
    """Share of items that a batch knows by their content alone, where there is an encoder."""
    members: int = 1
    """Networks that are trained from different seeds, and whose scores are averaged; each takes the time of one."""
    tokens: int = 6_400
    """Events in a batch, padding included."""
    holdout: int = 1_000
    """Users whose last like is kept for early stopping, at most one in ten; 0 for none."""
    training: SequentialTraining = field(default_factory=SequentialTraining)
    checkpoint: str = ""
    """A folder in which an interrupted `fit` leaves off and goes on. Empty for none."""
    threads: int = 0
    """Threads that scoring may use; 0 for as many as there are."""

    def __post_init__(self) -> None:
        sizes = (self.width, self.layers, self.heads, self.negatives, self.members)
        rest = (self.kernel, self.holdout, self.threads)
        if min(sizes) < 1 or self.length < 2 or self.tokens < self.length or min(rest) < 0:
            raise ValueError(
                "sequential wants width, layers, heads, negatives and members >= 1, length >= 2, tokens >= length, "
                "and kernel, holdout and threads >= 0."
            )
        if self.width % (2 * self.heads):
            raise ValueError(f"sequential wants width / heads to be even; {self.width} / {self.heads} is not.")
        shares = (self.dropout, self.embedding_dropout, self.content_dropout)
        if not all(0 <= share < 1 for share in shares) or not 0 < self.masked < 1:
            raise ValueError("sequential wants the dropouts from 0 to below 1, and masked between 0 and 1.")
