"""Sparse weights: which single weights become zero, and how much of a network is zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from twofold.compress.prune.scores import Scores, magnitude, prunable
from twofold.core.errors import ConfigError

__all__ = ["Masks", "Scope", "ZeroShare", "apply_masks", "check_share", "sparsify", "sparsify_below", "zero_share"]

Masks = dict[str, Tensor]
"""By the names of weights in a module, a bool tensor each of the weight's shape; False is where it is zero."""
Scope = Literal["global", "layer", "row"]


def sparsify(
    module: nn.Module,
    sparsity: float | None = None,
    *,
    scope: Scope = "global",
    pattern: tuple[int, int] | None = None,
    scores: Scores | None = None,
) -> Masks:
    """Set the weights that matter least to zero, in place, and return where weights are left.

    Exactly `round(sparsity * count)` weights become zero; of equal scores, those that come first. Zeros take as
    much room and time as before: most runtimes on a CPU multiply them all the same. `save_sparse` makes use of them
    on disk.

    Args:
        module: what is pruned.
        sparsity: share of zeros, from 0 to below 1.
        scope: among which weights scores are compared: all of them, those of a layer, or those of an output (row).
        pattern: (n, m) in place of `sparsity`: of m weights in a row of inputs, n are left, as in 2:4.
        scores: of which weights matter; without them, their magnitude. A weight without scores stays dense.

    Raises:
        ConfigError: neither or both of `sparsity` and `pattern`, one that cannot be had, or weights or scores
            that are no numbers.
    """
    if (sparsity is None) == (pattern is None):
        raise ConfigError("pruning wants either a sparsity or a pattern; give one of them.")
    weights = prunable(module)
    scores = magnitude(module) if scores is None else scores
    _check_scores(weights, scores)
    if pattern is not None:
        masks = {name: _of_pattern(name, score, *pattern) for name, score in scores.items()}
    else:
        assert sparsity is not None
        check_share(sparsity)
        masks = _of_share(scores, sparsity, scope)
    apply_masks(module, masks)
    return masks


def sparsify_below(module: nn.Module, theta: float) -> Masks:
    """Set every weight with `|w| <= theta` to zero, in place, and return where weights are left.

    Raises:
        ConfigError: theta is negative or no number, or weights are no numbers.
    """
    if not 0 <= theta < float("inf"):
        raise ConfigError(f"a threshold cannot be {theta}; give a number of 0 or more.")
    masks = {name: score > theta for name, score in magnitude(module).items()}
    apply_masks(module, masks)
    return masks


def apply_masks(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the weights of a module to zero, in place, where the masks are False."""
    with torch.no_grad():
        for name, mask in masks.items():
            weight = module.get_parameter(name)
            weight.masked_fill_(~mask.to(weight.device), 0.0)


def check_share(sparsity: float) -> None:
    """Refuse a share of zeros that leaves nothing or is none.

    Raises:
        ConfigError: it is below 0, or 1 or more, or no number.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(f"a sparsity cannot be {sparsity}; give a share from 0 to below 1.")


def _check_scores(weights: Mapping[str, Tensor], scores: Scores) -> None:
    for name, score in scores.items():
        if name not in weights or score.shape != weights[name].shape:
            raise ConfigError(f"there are scores for {name!r}, which the model has not in that shape; make new ones.")
        if not bool(torch.isfinite(score).all()):
            raise ConfigError(f"the scores of {name} are no numbers; check the weights and the data.")
    if not scores:
        raise ConfigError("there are no scores to prune by; give some, or none at all for the magnitude.")


def _of_share(scores: Scores, sparsity: float, scope: Scope) -> Masks:
    if scope == "row":
        return {name: _rows(score, sparsity) for name, score in scores.items()}
    if scope == "layer":
        return {name: _largest(score.flatten(), sparsity).reshape(score.shape) for name, score in scores.items()}
    left = _largest(torch.cat([score.flatten().float() for score in scores.values()]), sparsity)
    parts = torch.split(left, [score.numel() for score in scores.values()])
    return {name: part.reshape(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def _largest(scores: Tensor, sparsity: float) -> Tensor:
    """Return where the scores [n] are left; of those that equal the last one to go, the first ones go."""
    count = round(sparsity * len(scores))
    if not count:
        return torch.ones_like(scores, dtype=torch.bool)
    last = scores.kthvalue(count).values
    left = scores > last
    level = (scores == last).nonzero()[:, 0]
    left[level[count - int((scores < last).sum()) :]] = True
    return left


def _rows(score: Tensor, sparsity: float) -> Tensor:
    rows = score.flatten(1)
    gone = rows.argsort(dim=1, stable=True)[:, : round(sparsity * rows.shape[1])]
    return torch.ones_like(rows, dtype=torch.bool).scatter_(1, gone, value=False).reshape(score.shape)


def _of_pattern(name: str, score: Tensor, n: int, m: int) -> Tensor:
    rows = score.flatten(1)
    if not 0 < n <= m:
        raise ConfigError(f"a pattern cannot be {n}:{m}; give n from 1 to m.")
    if rows.shape[1] % m:
        raise ConfigError(f"{name} has {rows.shape[1]} inputs, which {n}:{m} does not divide; give another pattern.")
    groups = rows.reshape(-1, m)
    gone = groups.argsort(dim=1, stable=True)[:, : m - n]
    return torch.ones_like(groups, dtype=torch.bool).scatter_(1, gone, value=False).reshape(score.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShare:
    """How much of a network is zero."""

    zeros: int
    """Parameters that are zero."""
    parameters: int
    """All of them, those that several layers share once."""
    layers: Mapping[str, float]
    """Share of zeros in each weight that may become sparse, by name."""

    @property
    def share(self) -> float:
        """Zeros among all parameters, from 0 to 1."""
        return self.zeros / max(self.parameters, 1)


def zero_share(module: nn.Module) -> ZeroShare:
    """Return how much of a network is zero, biases, norms and tables included.

    Raises:
        ConfigError: as `prunable`.
    """
    every = list(module.parameters())
    return ZeroShare(
        zeros=sum(int((value == 0).sum()) for value in every),
        parameters=sum(value.numel() for value in every),
        layers={name: float((weight == 0).float().mean()) for name, weight in prunable(module).items()},
    )
