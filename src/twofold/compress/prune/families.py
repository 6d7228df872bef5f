"""Where transformers of the BERT, GPT (Llama-type) and T5 families keep what can be dropped.

A *head* is here what can go by itself: a key-value head with all query heads that share it, which is one head where
each has its own keys. A *neuron* is a hidden unit of a feed-forward part.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from twofold.core.errors import ConfigError

__all__ = ["Body", "Family", "find_body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Names of a layer's modules, from the layer, and of the config's numbers."""

    name: str
    attention: str
    """Module that knows the size of a head."""
    size: str
    """Attribute with that size."""
    query: str
    key: str
    value: str
    output: str
    """Linear layers of the attention; the last one takes in what the heads give."""
    widen: tuple[str, ...]
    """Linear layers whose outputs are the neurons; those that a layer has."""
    narrow: str
    """Linear layer that takes in the neurons."""
    heads_key: str
    neurons_key: str
    """Names in the config of how many heads and neurons there are."""


FAMILIES = (
    Family(
        name="BERT",
        attention="attention.self",
        size="attention_head_size",
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        output="attention.output.dense",
        widen=("intermediate.dense",),
        narrow="output.dense",
        heads_key="num_attention_heads",
        neurons_key="intermediate_size",
    ),
    Family(
        name="GPT",
        attention="self_attn",
        size="head_dim",
        query="self_attn.q_proj",
        key="self_attn.k_proj",
        value="self_attn.v_proj",
        output="self_attn.o_proj",
        widen=("mlp.gate_proj", "mlp.up_proj"),
        narrow="mlp.down_proj",
        heads_key="num_attention_heads",
        neurons_key="intermediate_size",
    ),
    Family(
        name="T5",
        attention="layer.0.SelfAttention",
        size="key_value_proj_dim",
        query="layer.0.SelfAttention.q",
        key="layer.0.SelfAttention.k",
        value="layer.0.SelfAttention.v",
        output="layer.0.SelfAttention.o",
        widen=("layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wi_1"),
        narrow="layer.1.DenseReluDense.wo",
        heads_key="num_heads",
        neurons_key="d_ff",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A transformer's stack of layers, and what belongs to it."""

    model: PreTrainedModel
    """The outermost model of the transformers library."""
    family: Family
    stack: nn.ModuleList
    configs: tuple[Any, ...]
    """The configs of all its parts; most often they share one."""

    def linear(self, layer: nn.Module, name: str) -> nn.Linear:
        """Return a linear layer of a layer."""
        found = layer.get_submodule(name)
        assert isinstance(found, nn.Linear)
        return found

    def widening(self, layer: nn.Module) -> list[nn.Linear]:
        """Return the linear layers whose outputs are a layer's neurons."""
        names = {name for name, _ in layer.named_modules()}
        return [self.linear(layer, name) for name in self.family.widen if name in names]

    def attention(self, layer: nn.Module) -> Any:
        """Return the attention of a layer, whose attributes differ by family."""
        return layer.get_submodule(self.family.attention)

    def head_size(self, layer: nn.Module) -> int:
        """Return how many numbers a head holds."""
        return int(getattr(self.attention(layer), self.family.size))

    def group(self, layer: nn.Module) -> int:
        """Return how many query heads share a key-value head."""
        key = self.linear(layer, self.family.key)
        return self.linear(layer, self.family.query).out_features // key.out_features

    @property
    def heads(self) -> list[int]:
        """Heads of each layer, counted by the shapes of its weights."""
        return [self.linear(layer, self.family.key).out_features // self.head_size(layer) for layer in self.stack]

    @property
    def neurons(self) -> list[int]:
        """Neurons of each layer, counted by the shapes of its weights."""
        return [self.linear(layer, self.family.narrow).in_features for layer in self.stack]

    @property
    def positions(self) -> nn.Embedding | None:
        """A T5's table of relative positions [buckets, heads], which the first layer holds and all use."""
        found = getattr(self.attention(self.stack[0]), "relative_attention_bias", None)
        return found if isinstance(found, nn.Embedding) else None


def find_body(model: nn.Module) -> Body:
    """Return the stack of layers in a model, also where it is part of a larger one, as in sentence-transformers.

    Raises:
        ConfigError: there is none of a family that is known, there are several, it is no encoder (or GPT), or its
            weights are no numbers.
    """
    owners = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    found = [
        (module, family)
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module)
        for family in FAMILIES
        if all(_fits(layer, family) for layer in module)
    ]
    if not owners or len(found) != 1:
        raise ConfigError(
            f"{type(owners[0] if owners else model).__name__} has {len(found)} stacks of layers whose parts can be "
            "dropped, where one is wanted; give a BERT, a Llama-type GPT or the encoder of a T5."
        )
    ((stack, family),) = found
    configs = {id(owner.config): owner.config for owner in owners}
    if any(getattr(config, "is_encoder_decoder", False) for config in configs.values()):
        raise ConfigError(
            f"{type(owners[0]).__name__} has a decoder, whose shapes depend on the encoder's; give the encoder alone."
        )
    for name, value in model.named_parameters():
        if not bool(torch.isfinite(value).all()):
            raise ConfigError(f"{name} holds NaN or infinite values and cannot be pruned; get other weights.")
    return Body(model=owners[0], family=family, stack=stack, configs=tuple(configs.values()))


def _fits(layer: nn.Module, family: Family) -> bool:
    modules = dict(layer.named_modules())
    names = (family.query, family.key, family.value, family.output, family.narrow)
    widen = [name for name in family.widen if name in modules]
    whole = all(isinstance(modules.get(name), nn.Linear) for name in (*names, *widen))
    return whole and bool(widen) and hasattr(modules[family.attention], family.size) and "crossattention" not in modules
