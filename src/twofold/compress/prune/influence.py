"""How much layers, heads and neurons matter: how far the output moves without them, on typical inputs.

No labels are needed, and a loss against the unpruned model would not do: it is 0 there, with slope 0. So heads and
neurons get a gate g = 1 each, and what counts is the squared slope of the output in the gate, which is the change of
`|f - f_whole|^2` to second order when the gate closes:

    importance = mean over texts of |df/dg|^2 = mean over texts and signs r of (d(r . f)/dg)^2,  r from {-1, +1}^d

One pass back for a draw of r serves all gates of all layers. Where f is a loss instead, this is the square of what
Michel et al. rank heads by. Sources: gates, Michel et al., NeurIPS 2019 (arXiv 1905.10650); squared slopes of gates,
Kwon et al., NeurIPS 2022 (arXiv 2204.09656); random signs, Hutchinson, Communications in Statistics 1989.
Layers are few, so each is really left out, and the next one is chosen with those before it gone.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from twofold.compress.prune.families import Body, find_body
from twofold.compress.prune.scores import Feed
from twofold.compress.prune.sparse import check_share
from twofold.core.errors import ConfigError, DataError

__all__ = ["Importance", "choose_layers", "importance", "layer_importance", "weakest"]

Run = Callable[[Feed], Tensor]
Amounts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much the parts of each layer matter; a larger number is more."""

    heads: tuple[Amounts, ...]
    """By layer, one number a head, as `drop_heads` counts them."""
    neurons: tuple[Amounts, ...]
    """By layer, one number a neuron."""


def importance(model: nn.Module, run: Run, feeds: Sequence[Feed], *, draws: int = 4, seed: int = 0) -> Importance:
    """Return how much each head and each neuron matters for what `run` returns.

    The heads of a T5 go from all layers or none; each has the sum over the layers, the same in all of them.

    Args:
        model: as in `drop_layers`, or what `run` uses a part of.
        run: puts a feed through the model and returns what counts, [b, ...], such as the texts' vectors, row by row.
        feeds: typical inputs; some hundred texts do.
        draws: of random signs; the error falls with their number times that of the texts.
        seed: of the signs.

    Raises:
        DataError: there is no feed.
        ConfigError: as `drop_layers`, or the slopes are no numbers.
    """
    body = find_body(model)
    chance = torch.Generator().manual_seed(seed)
    sums = [torch.zeros(count, dtype=torch.float64) for count in (*body.heads, *body.neurons)]
    rows = 0
    with _evaluating(model), torch.enable_grad():
        for feed in feeds:
            with _gates(body) as gates:
                out = run(feed)
            rows += len(out)
            for draw in range(draws):
                signs = torch.randint(0, 2, out.shape, generator=chance).to(out) * 2 - 1
                slopes = torch.autograd.grad((out * signs).sum(), gates, retain_graph=draw < draws - 1)
                found = (slope.detach().double().square().sum(dim=0).cpu() for slope in slopes)
                sums = [total + more for total, more in zip(sums, found, strict=True)]
    if not rows:
        raise DataError("importance wants at least one batch of inputs; give some texts.")
    means = [(total / (rows * draws)).numpy() for total in sums]
    if not all(np.isfinite(amounts).all() for amounts in means):
        raise ConfigError("the output's slopes are no numbers; the weights are damaged, get others.")
    heads, neurons = means[: len(body.stack)], means[len(body.stack) :]
    if body.positions is not None:
        heads = [np.sum(heads, axis=0)] * len(heads)
    return Importance(heads=tuple(heads), neurons=tuple(neurons))


def layer_importance(model: nn.Module, run: Run, feeds: Sequence[Feed], *, without: Collection[int] = ()) -> Amounts:
    """Return how far the output moves without each layer: the mean over rows of `|f - f_whole|^2`, [layers].

    Args:
        model: as in `importance`.
        run: as in `importance`.
        feeds: as in `importance`.
        without: places of layers that are left out anyway; they get infinity.

    Raises:
        DataError: there is no feed.
        ConfigError: as `drop_layers`, or the outputs are no numbers.
    """
    body = find_body(model)
    found = np.full(len(body.stack), np.inf)
    if not feeds:
        raise DataError("importance wants at least one batch of inputs; give some texts.")
    with _evaluating(model), torch.no_grad():
        whole = [run(feed) for feed in feeds]
        for place in range(len(body.stack)):
            if place in without:
                continue
            with _left_out(body, {*without, place}):
                moved = [(run(feed) - out).double().square().sum() for feed, out in zip(feeds, whole, strict=True)]
            found[place] = float(sum(moved)) / sum(len(out) for out in whole)
    if np.isnan(found).any():
        raise ConfigError("the model's outputs are no numbers; its weights are damaged, get others.")
    return found


def choose_layers(model: nn.Module, run: Run, feeds: Sequence[Feed], count: int) -> list[int]:
    """Return the places of layers to drop: one after the other, each time that without which the output moves least.

    Args:
        model: as in `importance`; it stays as it is.
        run: as in `importance`.
        feeds: as in `importance`.
        count: of layers to drop.

    Raises:
        DataError: there is no feed.
        ConfigError: as `layer_importance`, or no layer would stay.
    """
    layers = len(find_body(model).stack)
    if not 0 <= count < layers:
        raise ConfigError(f"{count} of {layers} layers cannot be dropped; drop fewer.")
    gone: list[int] = []
    for _ in range(count):
        gone.append(int(np.argmin(layer_importance(model, run, feeds, without=gone))))
    return sorted(gone)


def weakest(
    amounts: Sequence[Amounts], share: float, *, even: bool = True, multiple: int = 1
) -> dict[int, tuple[int, ...]]:
    """Return which heads or neurons to drop, by layer: those that matter least.

    Args:
        amounts: by layer, as `Importance` has them.
        share: of them to drop, from 0 to below 1.
        even: whether each layer loses the same share, so that its config can say it; else layers are compared, and
            each keeps one at least.
        multiple: the number that an evenly cut layer keeps is rounded up to a multiple of this, for kernels that
            work on blocks of inputs.

    Raises:
        ConfigError: the share or the multiple cannot be had.
    """
    check_share(share)
    if multiple < 1 or (multiple > 1 and not even):
        raise ConfigError("a multiple wants to be 1 or more, and more than 1 only where layers are cut evenly.")
    if even:
        gone = {}
        for place, scores in enumerate(amounts):
            least = max(len(scores) - round(share * len(scores)), 1)
            kept = min(-(-least // multiple) * multiple, len(scores))
            gone[place] = np.argsort(scores, kind="stable")[: len(scores) - kept]
    else:
        owners = np.concatenate([np.full(len(scores), place) for place, scores in enumerate(amounts)])
        places = np.concatenate([np.arange(len(scores)) for scores in amounts])
        flat = np.concatenate([np.where(scores == scores.max(), np.inf, scores) for scores in amounts])
        order = np.argsort(flat, kind="stable")[: round(share * len(flat))]
        order = order[np.isfinite(flat[order])]
        gone = {place: places[order[owners[order] == place]] for place in range(len(amounts))}
    return {place: tuple(sorted(int(one) for one in chosen)) for place, chosen in gone.items() if len(chosen)}


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _gates(body: Body) -> Iterator[list[Tensor]]:
    """Put gates of 1 before what takes in heads and neurons; yield those of a run, [b, units], first all heads'."""
    found: dict[int, Tensor] = {}
    heads, neurons, family = body.heads, body.neurons, body.family
    points = [(body.linear(layer, family.output), count) for layer, count in zip(body.stack, heads, strict=True)]
    points += [(body.linear(layer, family.narrow), count) for layer, count in zip(body.stack, neurons, strict=True)]

    def gated(place: int, units: int) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Tensor]]:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
            x: Tensor = inputs[0]
            gate = torch.ones(len(x), units, dtype=x.dtype, device=x.device, requires_grad=True)
            found[place] = gate
            return ((x.reshape(len(x), -1, units, x.shape[-1] // units) * gate[:, None, :, None]).reshape(x.shape),)

        return hook

    with ExitStack() as hooks:
        for place, (layer, units) in enumerate(points):
            hooks.enter_context(_removed(layer.register_forward_pre_hook(gated(place, units))))
        gates: list[Tensor] = []
        yield gates
        gates.extend(found[place] for place in range(len(points)))


@contextmanager
def _left_out(body: Body, places: Collection[int]) -> Iterator[None]:
    """Have some layers pass on what they get. A T5's first one still tells the positions to the others."""

    def skip(_: nn.Module, inputs: tuple[Any, ...], out: Any) -> Any:
        return (inputs[0], *out[1:]) if isinstance(out, tuple) else inputs[0]

    with ExitStack() as hooks:
        for place in places:
            hooks.enter_context(_removed(body.stack[place].register_forward_hook(skip)))
        yield


@contextmanager
def _removed(hook: Any) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()
