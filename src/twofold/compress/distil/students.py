"""Students made out of their teacher: fewer layers. Needs torch."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from twofold.compress.distil.examples import Feed
from twofold.compress.distil.stack import check_finite
from twofold.compress.prune.families import find_body
from twofold.compress.prune.structure import drop_layers
from twofold.core.errors import ConfigError

__all__ = ["TextVectors", "fewer_layers", "spread", "without_dropout"]

M = TypeVar("M", bound=nn.Module)


class TextVectors(nn.Module):
    """A sentence-transformers model as a network of the feed `input_ids`, `attention_mask` [b, l].

    Args:
        model: kept as `model`, so that what is trained here is trained there.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the texts' vectors, [b, d]."""
        features = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        vectors: Tensor = features["sentence_embedding"]
        return vectors

    def read(self, feed: Feed) -> Tensor:
        """Return the vectors of a feed of arrays."""
        vectors: Tensor = self(**{name: torch.from_numpy(value) for name, value in feed.items()})
        return vectors


def without_dropout(module: nn.Module) -> None:
    """Have a module learn without dropout: where there is time for few steps, it slows them and keeps nothing apart."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0


def spread(layers: int, count: int) -> list[int]:
    """Return so many of the layers of a teacher, from the first to the last, at even distances.

    >>> spread(6, 3), spread(12, 4), spread(6, 1)
    ([0, 2, 5], [0, 4, 7, 11], [0])
    """
    if not 1 <= count <= layers:
        raise ConfigError(f"a teacher of {layers} layers has no student of {count}; choose from 1 to {layers}.")
    return [round(place * (layers - 1) / max(count - 1, 1)) for place in range(count)]


def fewer_layers(teacher: M, keep: Sequence[int]) -> M:
    """Return a copy of a model with some of its layers only, in their order; see `prune.drop_layers`.

    Source: Sanh et al., 2019 (DistilBERT) for a student that begins as layers of its teacher.

    Args:
        teacher: a BERT, a Llama-type GPT or the encoder of a T5, or a module around it.
        keep: which layers, from 0; distinct and rising.

    Raises:
        ConfigError: there is no such layer, the teacher is of another family, or its weights are no numbers or
            quantised.
    """
    check_finite(teacher, "the teacher")
    depth = len(find_body(teacher).stack)
    if not keep or list(keep) != sorted(set(keep)) or not 0 <= keep[0] <= keep[-1] < depth:
        raise ConfigError(
            f"a teacher of {depth} layers cannot keep {list(keep)}; give rising numbers from 0 to {depth - 1}."
        )
    student = copy.deepcopy(teacher)
    drop_layers(student, set(range(depth)) - set(keep))
    return student
