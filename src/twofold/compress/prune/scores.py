"""How much each single weight matters: by its size, by what flows through it, or by what the loss says of it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from torch import Tensor, nn

from twofold.core.errors import ConfigError, DataError
from twofold.train.loop import Task

__all__ = ["Feed", "Scores", "magnitude", "prunable", "real_rows", "taylor", "wanda"]

B = TypeVar("B")
Feed = Mapping[str, npt.NDArray[Any]]
"""A network's inputs of one batch by name; the first axis is the batch."""
Scores = dict[str, Tensor]
"""By the names of weights in a module, a tensor each of the weight's shape; a larger score matters more."""


def prunable(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights that may become sparse: those of linear and convolution layers, [out, in, ...], by name.

    Biases, norms and embedding tables are left alone, and so is an output layer that shares its table with the
    embeddings.

    Raises:
        ConfigError: there is none, or one holds NaN or infinite values.
    """
    tables = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.Embedding)}
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    found: dict[str, Tensor] = {}
    for name, layer in module.named_modules():
        if isinstance(layer, kinds) and id(layer.weight) not in tables:
            tables.add(id(layer.weight))  # a weight that two layers share counts once
            found[f"{name}.weight".lstrip(".")] = layer.weight
    if not found:
        raise ConfigError(f"{type(module).__name__} has no linear or convolution layer to prune; give another model.")
    for name, weight in found.items():
        if not bool(torch.isfinite(weight).all()):
            raise ConfigError(f"{name} holds NaN or infinite values and cannot be pruned; get other weights.")
    return found


def magnitude(module: nn.Module) -> Scores:
    """Return `|w|` for each weight. Source: Han et al., NeurIPS 2015 (arXiv 1506.02626)."""
    return {name: weight.detach().abs() for name, weight in prunable(module).items()}


def wanda(module: nn.Module, run: Callable[[Feed], Any], feeds: Iterable[Feed]) -> Scores:
    """Return `|w_ij| * ||x_j||` for each weight of the linear layers, with the L2 norm over all tokens of the feeds.

    Such scores are meant to be compared within a row, which is one output: `sparsify(..., scope="row")`. Padding
    does not count where a feed has an `attention_mask`. A layer that the feeds do not reach gets no scores, and
    so stays dense. Source: Sun et al., ICLR 2024 (arXiv 2306.11695).

    Args:
        module: what is pruned.
        run: puts a feed through the module, or through a larger one that it is part of.
        feeds: typical inputs; a hundred texts do.

    Raises:
        DataError: there is no feed.
        ConfigError: as `prunable`, or the activations are no numbers.
    """
    weights = prunable(module)
    layers = {name: module.get_submodule(name.rpartition(".")[0]) for name in weights}
    squares: dict[str, Tensor] = {}
    feed: Feed = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            sums = real_rows(inputs[0].detach(), feed).double().square().sum(dim=0)
            squares[name] = squares[name] + sums if name in squares else sums

        return hook

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items() if _linear(layer)]
    training, count = module.training, 0
    module.eval()
    try:
        with torch.no_grad():
            for feed in feeds:
                run(feed)
                count += 1
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    if not count:
        raise DataError("scores by activations want at least one batch of inputs; give some texts.")
    norms = {name: sums.sqrt() for name, sums in squares.items()}
    if not all(bool(torch.isfinite(norm).all()) for norm in norms.values()):
        raise ConfigError("the model's activations are no numbers; its weights are damaged, get others.")
    return {name: weights[name].detach().abs() * norm.to(weights[name].dtype) for name, norm in norms.items()}


def real_rows(inputs: Tensor, feed: Feed) -> Tensor:
    """Return what a layer is given for the tokens of a feed [..., in], a row each, without those of padding."""
    mask = feed.get("attention_mask")
    if mask is not None and inputs.shape[:-1] == mask.shape:
        return inputs[torch.from_numpy(mask).bool().to(inputs.device)]
    return inputs.reshape(-1, inputs.shape[-1])


def _linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)


def taylor(task: Task[B], batches: Iterable[B]) -> Scores:
    """Return `|w * dL/dw|` for each weight: to first order, how much the loss changes when the weight becomes zero.

    L is the mean loss of the batches. A loss against the unpruned model itself is 0 there with slope 0, and says
    nothing; it must be one of labels, pairs or next tokens. A weight that is not trained gets no scores.
    Source: Molchanov et al., ICLR 2017 (arXiv 1611.06440).

    Args:
        task: whose module is pruned; its `backward` gives the slopes.
        batches: some of its batches.

    Raises:
        DataError: there is no batch.
        ConfigError: as `prunable`, or the slopes are no numbers.
    """
    weights, training, count = prunable(task.module), task.module.training, 0
    task.module.zero_grad(set_to_none=True)
    task.module.eval()  # dropout would be noise
    try:
        for batch in batches:
            task.backward(batch)
            count += 1
        slopes = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        found = {name: (weights[name].detach() * slope / max(count, 1)).abs() for name, slope in slopes.items()}
    finally:
        task.module.zero_grad(set_to_none=True)
        task.module.train(training)
    if not count:
        raise DataError("scores by a loss want at least one batch; give some.")
    if not all(bool(torch.isfinite(score).all()) for score in found.values()):
        raise ConfigError("the loss gives slopes that are no numbers; check the weights and the data.")
    return found
