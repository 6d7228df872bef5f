"""`repair`: the weights that pruning left take over what the others did, layer by layer, by least squares."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import linalg
from torch import Tensor, nn

from twofold.compress.prune.scores import Feed, real_rows
from twofold.core.errors import ConfigError, DataError

__all__ = ["repair"]

Matrix = npt.NDArray[np.float64]
Run = Callable[[Feed], Any]


class _ReachedError(Exception):
    """A layer's inputs came; what is behind it need not be computed."""


def repair(
    pruned: nn.Module,
    original: nn.Module,
    masks: Mapping[str, Tensor],
    runs: tuple[Run, Run],
    feeds: Iterable[Feed],
    *,
    penalty: float = 0.01,
) -> None:
    """Set the weights that are left, and biases, so that each layer says what it said before, zeros staying zero.

    Layers are taken in the order in which they run. With the inputs Z of a layer in the pruned module, those before it
    repaired, and X in the original, both with a column of ones for the bias, each output's weights w are set to

        argmin_v |Z v - X w|^2 + penalty * mean(diag Z'Z) * |v - w|^2, v zero where the mask is False

    so that what earlier layers lost is made up for, too. It needs no labels and no steps, and can be followed by
    distilling. Sources: Hassibi & Stork, NIPS 1992, for the idea that what is left compensates; Frantar & Alistarh,
    ICML 2023 (arXiv 2301.00774), for doing it layer by layer with the inputs' second moments.

    Args:
        pruned: a copy of the original some of whose weights are zero; it is changed.
        original: as it was.
        masks: where weights are left, by their names in `pruned`, as `sparsify` returns them; of linear layers alone.
        runs: put a feed through the pruned module and through the original.
        feeds: some thousand tokens of typical texts; padding does not count where there is an `attention_mask`.
        penalty: how strongly weights are held to what they were.

    Raises:
        ConfigError: a mask is of no linear layer, or the feeds do not reach it.
        DataError: there is no feed.
    """
    feeds = list(feeds)
    if not feeds:
        raise DataError("repairing wants feeds to compare the layers on, and there are none; give some.")
    names = {name.removesuffix("weight").rstrip("."): mask for name, mask in masks.items()}
    layers = {name: _linear(pruned, name) for name in names}
    for group in _in_order(layers, runs[0], feeds[0]):
        second, cross = _moments((pruned, original), group[0], runs, feeds)
        for name in group:
            hold = penalty * float(np.diag(second).mean())
            before = _weights(_linear(original, name))
            system, wanted = second + hold * np.eye(len(second)), before @ cross.T + hold * before
            _solve(layers[name], names[name], system, wanted)


def _linear(module: nn.Module, name: str) -> nn.Linear:
    layer = module.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        raise ConfigError(f"{name} is no linear layer and cannot be repaired; leave its mask out.")
    return layer


def _in_order(layers: Mapping[str, nn.Module], run: Run, feed: Feed) -> list[list[str]]:
    """Return layers in the order in which they run, those of the same inputs together."""
    seen: list[tuple[str, Tensor]] = []
    with ExitStack() as stack, torch.inference_mode():
        for name, layer in layers.items():

            def hook(_: nn.Module, given: tuple[Any, ...], own: str = name) -> None:
                seen.append((own, given[0]))

            stack.callback(layer.register_forward_pre_hook(hook).remove)
        run(feed)
    if missing := layers.keys() - {name for name, _ in seen}:
        raise ConfigError(f"the feeds do not reach {sorted(missing)[0]}; give others, or leave its mask out.")
    groups: list[list[str]] = []
    for place, (name, given) in enumerate(seen):
        if place and given is seen[place - 1][1]:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _moments(
    modules: Sequence[nn.Module], name: str, runs: Sequence[Run], feeds: Sequence[Feed]
) -> tuple[Matrix, Matrix]:
    """Return `Z'Z` and `Z'X` of a layer's inputs in both modules, each with a column of ones."""
    second: Matrix = np.zeros(())
    cross: Matrix = np.zeros(())
    for feed in feeds:
        inputs = [_inputs(module.get_submodule(name), run, feed) for module, run in zip(modules, runs, strict=True)]
        ours, theirs = (np.hstack([one, np.ones((len(one), 1))]) for one in inputs)
        second, cross = second + ours.T @ ours, cross + ours.T @ theirs
    return second, cross


def _inputs(layer: nn.Module, run: Run, feed: Feed) -> Matrix:
    found: list[Tensor] = []

    def hook(_: nn.Module, given: tuple[Any, ...]) -> None:
        found.append(given[0])
        raise _ReachedError

    handle = layer.register_forward_pre_hook(hook)
    try:
        with torch.inference_mode():
            run(feed)
    except _ReachedError:
        pass
    finally:
        handle.remove()
    return np.asarray(real_rows(found[0], feed).double().numpy())


def _weights(layer: nn.Linear) -> Matrix:
    """Return the weights of a linear layer with its bias, or zeros, as a last column."""
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach()
    found: Matrix = torch.cat([layer.weight.detach(), bias[:, None]], dim=1).double().numpy()
    return found


def _solve(layer: nn.Linear, mask: Tensor, system: Matrix, wanted: Matrix) -> None:
    """Set the weights and the bias of one layer, each output by itself, to what solves its rows of a system."""
    kept = np.hstack([mask.numpy(), np.full((len(mask), 1), layer.bias is not None)])
    found = np.zeros(kept.shape)
    for row, own in enumerate(kept):
        places = np.flatnonzero(own)
        if len(places):
            found[row, places] = linalg.solve(system[np.ix_(places, places)], wanted[row, places], assume_a="pos")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(found[:, :-1]))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(found[:, -1]))
