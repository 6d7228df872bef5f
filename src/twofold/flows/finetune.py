"""Fine-tune: a pre-trained text encoder and a dataset become a model folder that knows the catalogue and its users."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.core.dataset import Dataset
from twofold.core.errors import needed_for
from twofold.core.stage import Progress
from twofold.encoders.text.finetune import FineTune, finetune
from twofold.encoders.text.pairs import MINED, Search, pairs_of, search_with
from twofold.encoders.text.weights import find_model
from twofold.retrieval import Lexical, LexicalConfig

if TYPE_CHECKING:
    from twofold.train import TrainingReport

__all__ = ["finetune_encoder", "lexical_search"]


def finetune_encoder(
    dataset: Dataset,
    folder: Path,
    options: FineTune,
    *,
    model: str = "minilm",
    rng: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> "TrainingReport":
    """Fine-tune a model on what a dataset says belongs together, and write it in the format of sentence-transformers.

    The folder can be named as the `model` of a text encoder in a recipe, and loads in plain sentence-transformers.

    Args:
        dataset: items, what people did, and, where there are any, searches with their answers
            (`Dataset.with_queries`); their hard negatives come from a lexical index of the items.
        folder: where the model is written; what is there is overwritten.
        options: how; see `FineTune`.
        model: what is fine-tuned: a short name, a folder, or a name on the Hugging Face hub.
        rng: the seed of everything random.
        checkpoint: a folder to write to now and then; where it holds a checkpoint, fine-tuning goes on from there.
        progress: told the loss, the held-out quality and the time left.

    Raises:
        ArtifactError: the checkpoint is damaged, or belongs to another fine-tuning.
        ConfigError: the model is unknown, or an option does not fit it.
        DataError: there is nothing to learn from.
        MissingExtraError: a package for training is not installed.
    """
    with needed_for("fine-tuning", "train"):
        from twofold.encoders.text.model import load_model, save_model  # noqa: PLC0415  torch is for fitting only

    search = lexical_search(dataset) if options.hard and options.queries and len(dataset.queries) else None
    pairs = pairs_of(dataset, options, rng=np.random.default_rng(rng), search=search)
    encoder = load_model(find_model(model))
    about = {"data": dataset.fingerprint(), "model": model}
    report = finetune(encoder, pairs, options, seed=rng, checkpoint=checkpoint, about=about, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(encoder, folder)
    return report


def lexical_search(dataset: Dataset) -> Search:
    """Return a search through the words of a dataset's items."""
    return search_with(Lexical(LexicalConfig(hits=MINED)).fit(dataset))
