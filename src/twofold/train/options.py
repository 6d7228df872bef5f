"""`Training`: the options that every neural stage shares. Free of torch, so that recipes are read without it."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Precision", "Training"]

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How long and how a stage is trained. At least one of `epochs`, `steps` and `minutes` ends it; the first counts.

    The learning rate of a step depends on the share s of the training that is behind it, by steps or by time,
    whichever is more: it rises linearly while `s < warmup` and then falls as half a cosine to 0. So a training that
    its time budget cuts short ends with small steps too.
    """

    lr: float = 1e-3
    """The largest learning rate of AdamW."""
    weight_decay: float = 0.01
    """Decoupled decay of matrices; vectors such as biases and norms are left alone."""
    warmup: float = 0.05
    """Share of the training in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of all gradients together; 0 for no limit."""
    epochs: int | None = None
    """How often the data are gone through."""
    steps: int | None = None
    """How many batches are learned from."""
    minutes: float | None = None
    """By when it ends, evaluation included."""
    patience: int = 0
    """Stop after so many evaluations in a row without a better held-out quality; 0 for never."""
    evaluate_every: int = 0
    """Steps from one evaluation to the next; 0 for one at the end of each epoch."""
    evaluate_first: bool = False
    """Whether the starting weights are evaluated too, and kept where nothing better comes: for fine-tuning."""
    precision: Precision = "auto"
    """`auto` multiplies in bfloat16 where the machine does so natively, else in float32."""
    checkpoint_minutes: float = 2.0
    """Time from one checkpoint to the next; 0 for one after each step."""
    threads: int = 0
    """Threads of torch; 0 leaves them as they are."""

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None and self.minutes is None:
            raise ValueError("training wants an end; give epochs, steps or minutes.")
        if any(limit is not None and limit <= 0 for limit in (self.epochs, self.steps, self.minutes)):
            raise ValueError("training wants epochs, steps and minutes above 0.")
        if self.lr <= 0 or not 0 <= self.warmup < 1:
            raise ValueError("training wants lr above 0 and warmup from 0 to below 1.")
        rest = (self.weight_decay, self.clip, self.patience, self.evaluate_every, self.checkpoint_minutes, self.threads)
        if min(rest) < 0:
            raise ValueError(
                "training wants weight_decay, clip, patience, evaluate_every, checkpoint_minutes and threads "
                "of 0 or more."
            )
