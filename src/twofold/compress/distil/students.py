"""Students made out of their teacher: fewer layers. Needs torch."""

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from twofold.compress.distil.stack import check_finite, layers_of
from twofold.core.errors import ConfigError

__all__ = ["TextVectors", "fewer_layers", "spread"]

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


def spread(layers: int, count: int) -> list[int]:
    """Return so many of the layers of a teacher, from the first to the last, at even distances.

    >>> spread(6, 3), spread(12, 4), spread(6, 1)
    ([0, 2, 5], [0, 4, 7, 11], [0])
    """
    if not 1 <= count <= layers:
        raise ConfigError(f"a teacher of {layers} layers has no student of {count}; choose from 1 to {layers}.")
    return [round(place * (layers - 1) / max(count - 1, 1)) for place in range(count)]


def fewer_layers(teacher: M, keep: Sequence[int]) -> M:
    """Return a copy of a model with some of its layers only, in their order, and a config that says so.

    A T5's first layer carries the distances between tokens for all; they go to the first layer that is kept.
    Source: Sanh et al., 2019 (DistilBERT) for a student that begins as layers of its teacher.

    Args:
        teacher: any torch module whose layers stand in a list; of the transformers library or not.
        keep: which layers, from 0; distinct and rising.

    Raises:
        ConfigError: there is no such layer, or the teacher's weights are no numbers or quantised.
    """
    check_finite(teacher, "the teacher")
    depth = len(layers_of(teacher))
    if not keep or list(keep) != sorted(set(keep)) or not 0 <= keep[0] <= keep[-1] < depth:
        raise ConfigError(
            f"a teacher of {depth} layers cannot keep {list(keep)}; give rising numbers from 0 to {depth - 1}."
        )
    student = copy.deepcopy(teacher)
    stack = layers_of(student)
    first = stack[0]
    kept = [stack[place] for place in keep]
    _carry_distances(first, kept[0])
    del stack[len(keep) :]
    for place, layer in enumerate(kept):
        stack[place] = layer
        for part in layer.modules():
            if hasattr(part, "layer_idx"):
                setattr(part, "layer_idx", place)  # noqa: B010  the declared type of a module's parts
    for part in student.modules():
        _tell_depth(getattr(part, "config", None), depth, keep)
    return student


def _carry_distances(first: nn.Module, kept: nn.Module) -> None:
    if first is kept:
        return
    for ours, theirs in zip(first.modules(), kept.modules(), strict=False):
        carrier: Any = ours
        if getattr(carrier, "has_relative_attention_bias", False):
            heir: Any = theirs
            heir.has_relative_attention_bias = True
            heir.relative_attention_bias = carrier.relative_attention_bias
            return


def _tell_depth(config: Any, depth: int, keep: Sequence[int]) -> None:
    """Write the new number of layers, and what is said layer by layer, into a config of the transformers library."""
    if getattr(config, "num_hidden_layers", None) != depth:
        return
    config.num_hidden_layers = len(keep)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and len(kinds) == depth:
        config.layer_types = [kinds[place] for place in keep]
