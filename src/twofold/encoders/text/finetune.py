"""`FineTune`: how a text encoder learns from behaviour. Free of torch, since recipes hold it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold.core import Progress
from twofold.core.errors import needed_for
from twofold.train.options import Precision, Training

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from twofold.encoders.text.pairs import Pairs
    from twofold.train import TrainingReport

__all__ = ["FineTune", "finetune"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTune:
    """Options of fine-tuning a text encoder on behaviour; off as long as neither `minutes` nor `steps` is set."""

    minutes: float = 0.0
    """By when it ends; 0 for no limit of time."""
    steps: int = 0
    """After how many batches it ends; 0 for no limit."""
    lr: float = 5e-5
    """The largest learning rate."""
    lora: int = 0
    """Rank of the low-rank matrices that are trained in place of the model's own and then added to them (Hu et al.,
    ICLR 2022); they want a larger `lr`, such as 1e-3. 0 trains the model itself."""
    frozen_layers: int = 0
    """How many of the lowest layers stay as they are, and the table of tokens with them; saves time."""
    likes: float = 1.0
    """How much of what people liked together is learned from, against `pairs`; 0 for nothing of it."""
    queries: float = 1.0
    """How much of the dataset's searches and their answers."""
    fields: float = 0.0
    """How much of the items' own titles with their texts."""
    pairs: int = 5_000
    """Most pairs of one kind in an epoch."""
    window: int = 10
    """How many likes apart two items of a history may be to count as liked together."""
    popularity: float = 0.5
    """How much less often a popular item is drawn: with a weight of `likes ** -popularity`."""
    batch_size: int = 64
    """Pairs of a batch; each anchor must tell its positive from those of all others."""
    part: int = 64
    """Texts that are encoded at once; where a batch has more, gradients are cached."""
    temperature: float = 0.05
    """Divides the cosines."""
    hard: int = 1
    """Hard negatives of a search in a batch, where a lexical index is given to mine them with."""
    dimensions: tuple[int, ...] = ()
    """Lengths at which a cut vector is good by itself too (matryoshka); none for the whole alone."""
    max_tokens: int = 128
    """Tokens of a text that are read in training; serving reads as many as the model does."""
    held_out: float = 0.1
    """Share of the items and of the searches that are put aside to measure with."""
    held_out_most: int = 300
    """Most items, searches, pairs and other documents put aside."""
    patience: int = 3
    """Epochs without a better held-out quality after which it ends; 0 for never."""
    precision: Precision = "auto"
    """`auto` multiplies in bfloat16 where the machine does so natively, else in float32."""

    def __post_init__(self) -> None:
        amounts = (self.minutes, self.steps, self.lora, self.frozen_layers, self.likes, self.queries, self.fields)
        if min(*amounts, self.popularity, self.hard, self.patience) < 0:
            raise ValueError("fine-tuning wants no number below 0.")
        if min(self.pairs, self.window, self.part, self.held_out_most) < 1 or self.batch_size < 2:
            raise ValueError("fine-tuning wants pairs, window, part and held_out_most >= 1 and batch_size >= 2.")
        if self.lr <= 0 or self.temperature <= 0 or not 0 <= self.held_out < 1 or self.max_tokens < 2:
            raise ValueError("fine-tuning wants lr and temperature above 0, held_out below 1 and max_tokens >= 2.")
        if any(size < 1 for size in self.dimensions):
            raise ValueError("fine-tuning wants dimensions of 1 or more.")
        if self.on and not (self.likes or self.queries or self.fields):
            raise ValueError("fine-tuning wants something to learn from; give likes, queries or fields above 0.")

    @property
    def on(self) -> bool:
        """Whether there is any fine-tuning."""
        return self.minutes > 0 or self.steps > 0

    @property
    def training(self) -> Training:
        """How the loop is told."""
        return Training(
            lr=self.lr,
            warmup=0.1,
            steps=self.steps or None,
            minutes=self.minutes or None,
            patience=self.patience,
            evaluate_first=True,
            precision=self.precision,
        )


def finetune(
    model: "SentenceTransformer",
    pairs: "Pairs",
    options: FineTune,
    *,
    seed: int,
    checkpoint: Path | None = None,
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> "TrainingReport":
    """Teach a model that what belongs together lies close: contrastive learning with the negatives of the batch.

    Logits are corrected for how often an item is drawn, what is known to belong to an anchor is no negative, and
    texts of like length are encoded together. The weights of the best held-out quality (mean reciprocal rank of
    the positive among the candidates) are kept, those before training where none are better.

    Args:
        model: changed in place.
        pairs: what is learned from; see `pairs_of`.
        options: how.
        seed: of the order of the pairs and of torch.
        checkpoint: a folder to write to now and then, and to go on from.
        about: what else the result depends on, such as the data's fingerprint.
        progress: told the loss, the held-out quality and the time left.

    Raises:
        ArtifactError: the checkpoint is damaged, or belongs to another training.
        ConfigError: the loss is no number, or an option does not fit the model.
        DataError: there is no pair to learn from.
        MissingExtraError: a package for training is not installed.
    """
    with needed_for("fine-tuning", "train"):
        from twofold.encoders.text.tuning import tune  # noqa: PLC0415  torch is for fitting only

    return tune(model, pairs, options, seed=seed, checkpoint=checkpoint, about=about, progress=progress)
