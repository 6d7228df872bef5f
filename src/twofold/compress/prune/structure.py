"""Drop whole layers, heads and neurons of a transformer, so that its shapes shrink."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from twofold.compress.prune.families import Body, find_body
from twofold.core.errors import ConfigError

__all__ = ["SHAPE", "Choice", "cut", "drop_heads", "drop_layers", "drop_neurons", "keep_first", "parameter"]

Choice = Mapping[int, Collection[int]]
"""By the place of a layer, the places of the heads or neurons in it that are dropped."""
SHAPE = "pruned_shape"
"""Name in a config of how many heads and neurons each layer has, where the config's own numbers cannot say it."""


def drop_layers(model: nn.Module, layers: Collection[int]) -> None:
    """Drop whole layers, in place; `copy.deepcopy(model)` beforehand keeps the whole one.

    What a T5's first layer knows of relative positions, which all layers use, moves to the new first one.

    Args:
        model: a BERT, a Llama-type GPT or the encoder of a T5, or a module around it.
        layers: places, from 0.

    Raises:
        ConfigError: a place is not there, no layer would stay, or the model is of another family.
    """
    body = find_body(model)
    kept = _kept(len(body.stack), layers, "the model", "layers")
    positions, first = body.positions, body.attention(body.stack[0])
    if positions is not None:
        first.relative_attention_bias, first.has_relative_attention_bias = None, False
        heir = body.attention(body.stack[kept[0]])
        heir.relative_attention_bias, heir.has_relative_attention_bias = positions, True
    for place in reversed(range(len(body.stack))):
        if place not in kept:
            del body.stack[place]
    for place, layer in enumerate(body.stack):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = place  # type: ignore[assignment]  # where it keeps its keys and values
    for config in body.configs:
        _shorten(config, kept)
    _describe(body)


def drop_heads(model: nn.Module, heads: Choice) -> None:
    """Drop attention heads, in place: their rows of queries, keys and values, and their columns of the output.

    A head of a GPT with grouped queries is a key-value head with all its query heads, so that no group is broken.
    The heads of a T5 share their table of positions over all layers, so that the same ones go everywhere.

    Args:
        model: as in `drop_layers`.
        heads: by layer.

    Raises:
        ConfigError: a place is not there, a layer would have no head, the heads of a T5 differ, or the model is of
            another family.
    """
    body = find_body(model)
    kept = {place: _kept(body.heads[place], gone, f"layer {place}", "heads") for place, gone in _checked(body, heads)}
    if body.positions is not None:
        wanted = [kept.get(place, list(range(count))) for place, count in enumerate(body.heads)]
        if any(one != wanted[0] for one in wanted):
            raise ConfigError("the heads of a T5 share positions over all layers; drop the same ones in each layer.")
    _cut_heads(body, kept)
    _describe(body)


def drop_neurons(model: nn.Module, neurons: Choice) -> None:
    """Drop hidden units of feed-forward parts, in place: their rows of what widens, their columns of what narrows.

    Args:
        model: as in `drop_layers`.
        neurons: by layer.

    Raises:
        ConfigError: a place is not there, a layer would have no neuron, or the model is of another family.
    """
    body = find_body(model)
    counts = body.neurons
    kept = {place: _kept(counts[place], gone, f"layer {place}", "neurons") for place, gone in _checked(body, neurons)}
    _cut_neurons(body, kept)
    _describe(body)


def keep_first(body: Body, heads: Sequence[int], neurons: Sequence[int]) -> None:
    """Give a fresh model the shapes of a pruned one: so many heads and neurons are left in each layer.

    Raises:
        ConfigError: a layer has fewer, or there are not so many layers.
    """
    if not len(heads) == len(neurons) == len(body.stack):
        raise ConfigError(f"shapes of {len(heads)} and {len(neurons)} layers do not fit {len(body.stack)} layers.")
    for kind, wanted, there in (("heads", heads, body.heads), ("neurons", neurons, body.neurons)):
        for place, (want, have) in enumerate(zip(wanted, there, strict=True)):
            if not 0 < want <= have:
                raise ConfigError(f"layer {place} cannot have {want} of {have} {kind}.")
    _cut_heads(body, {place: list(range(count)) for place, count in enumerate(heads)})
    _cut_neurons(body, {place: list(range(count)) for place, count in enumerate(neurons)})
    _describe(body)


def _kept(count: int, gone: Collection[int], where: str, what: str) -> list[int]:
    """Return the places from 0 to below `count` that stay."""
    if strange := sorted(place for place in gone if not 0 <= place < count):
        raise ConfigError(f"{where} has {count} {what}, and number {strange[0]} is none of them; give others.")
    kept = [place for place in range(count) if place not in set(gone)]
    if not kept:
        raise ConfigError(f"{where} would have no {what}; drop fewer.")
    return kept


def _checked(body: Body, choice: Choice) -> list[tuple[int, Collection[int]]]:
    _kept(len(body.stack) + 1, choice, "the model", "layers")
    if strange := [place for place in choice if place >= len(body.stack)]:
        raise ConfigError(f"the model has {len(body.stack)} layers, and number {strange[0]} is none of them.")
    return list(choice.items())


def _cut_heads(body: Body, kept: Mapping[int, Sequence[int]]) -> None:
    family = body.family
    if body.positions is not None and kept:
        table = body.positions
        columns = torch.tensor(kept[min(kept)], device=table.weight.device)
        table.weight = parameter(table.weight[:, columns], table.weight)
        table.embedding_dim = len(columns)
    for place, heads in kept.items():
        layer = body.stack[place]
        size, group, attention = body.head_size(layer), body.group(layer), body.attention(layer)
        queries = [head * group + member for head in heads for member in range(group)]
        cut(body.linear(layer, family.query), _spread(queries, size), 0)
        cut(body.linear(layer, family.output), _spread(queries, size), 1)
        for name in (family.key, family.value):
            cut(body.linear(layer, name), _spread(heads, size), 0)
        counts = {"num_attention_heads": len(queries), "num_heads": len(queries), "n_heads": len(queries)}
        widths = {"all_head_size": len(queries) * size, "inner_dim": len(queries) * size}
        for name, count in {**counts, **widths, "num_key_value_heads": len(heads)}.items():
            if hasattr(attention, name):
                setattr(attention, name, count)


def _cut_neurons(body: Body, kept: Mapping[int, Sequence[int]]) -> None:
    for place, neurons in kept.items():
        layer, places = body.stack[place], torch.tensor(neurons)
        for wide in body.widening(layer):
            cut(wide, places, 0)
        cut(body.linear(layer, body.family.narrow), places, 1)
        for module in layer.modules():
            if hasattr(module, "intermediate_size"):
                module.intermediate_size = len(neurons)  # type: ignore[assignment]


def _spread(heads: Sequence[int], size: int) -> torch.Tensor:
    """Return the rows of heads, each `size` rows long."""
    return (torch.tensor(heads)[:, None] * size + torch.arange(size)).flatten()


def cut(linear: nn.Module, places: torch.Tensor, dim: int) -> None:
    """Keep some outputs (0) or inputs (1) of a linear layer."""
    assert isinstance(linear, nn.Linear)
    places = places.to(linear.weight.device)
    linear.weight = parameter(linear.weight.index_select(dim, places), linear.weight)
    linear.out_features, linear.in_features = linear.weight.shape
    if linear.bias is not None and dim == 0:
        linear.bias = parameter(linear.bias[places], linear.bias)


def parameter(value: torch.Tensor, like: torch.Tensor) -> nn.Parameter:
    """Return a parameter of its own memory, trained where `like` is."""
    return nn.Parameter(value.detach().clone().contiguous(), requires_grad=like.requires_grad)


def _shorten(config: Any, kept: Sequence[int]) -> None:
    """Say in a config which layers are left."""
    for key in ("layer_types", "mlp_layer_types"):
        kinds = getattr(config, key, None)
        if kinds is not None:
            setattr(config, key, [kinds[place] for place in kept])
    config.num_hidden_layers = len(kept)


def _describe(body: Body) -> None:
    """Say in the configs what is left.

    A config holds one number for all layers, and a BERT's head is as wide as the model divided by the heads. Where
    such numbers tell the truth, they are set, and any program reads the model. Elsewhere they stay those from which
    a fresh model can be built, and `pruned_shape` says what was left of it.
    """
    heads, neurons = body.heads, body.neurons
    layer, family = body.stack[0], body.family
    queries, size = heads[0] * body.group(layer), body.head_size(layer)
    width = body.linear(layer, family.output).out_features
    even_heads = len(set(heads)) == 1 and (
        family.name == "T5" or (width == queries * size if family.name == "BERT" else width % queries == 0)
    )
    even_neurons = len(set(neurons)) == 1
    for config in body.configs:
        if even_neurons:
            setattr(config, family.neurons_key, neurons[0])
        if even_heads:
            if family.name == "GPT":
                config.head_dim, config.num_key_value_heads = size, heads[0]
            setattr(config, family.heads_key, queries)
        if not (even_heads and even_neurons):
            setattr(config, SHAPE, {"heads": heads, "neurons": neurons})
        elif hasattr(config, SHAPE):
            delattr(config, SHAPE)
