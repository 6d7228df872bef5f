"""Training that keeps zeros, and pruning little by little while it trains. Both wrap the task of a training."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from twofold.compress.prune.scores import Scores, magnitude
from twofold.compress.prune.sparse import Masks, Scope, apply_masks, check_share, sparsify
from twofold.train.loop import Task

__all__ = ["Cubic", "MaskedTask", "gradual", "masked"]

B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cubic:
    """A sparsity that rises fast at first and slowly at the end, while the weights that are left recover.

    `s(t) = final + (initial - final) * (1 - (t - begin) / (end - begin))^3`; `initial` before, `final` afterwards.
    Source: Zhu & Gupta, ICLR 2018 workshop (arXiv 1710.01878).

    >>> schedule = Cubic(final=0.8, end=10)
    >>> [round(schedule.sparsity(step), 3) for step in (0, 5, 10, 99)]
    [0.0, 0.7, 0.8, 0.8]
    """

    final: float
    """Share of zeros at the end, from 0 to below 1."""
    initial: float = 0.0
    """Share of zeros at the beginning."""
    begin: int = 0
    """Step at which it begins to rise."""
    end: int
    """Step from which it is `final`; leave steps behind it in which the weights recover."""
    every: int = 1
    """Steps from one pruning to the next."""

    def __post_init__(self) -> None:
        check_share(self.final)
        check_share(self.initial)
        if self.initial > self.final:
            raise ValueError("a sparsity only rises; give an initial one of at most the final one.")
        if not 0 <= self.begin < self.end or self.every < 1:
            raise ValueError("gradual pruning wants begin from 0 to below end, and every of 1 or more.")

    def sparsity(self, step: int) -> float:
        """Return the share of zeros that a step learns with."""
        share = min(max((step - self.begin) / (self.end - self.begin), 0.0), 1.0)
        return self.final + (self.initial - self.final) * (1 - share) ** 3

    def due(self, step: int) -> bool:
        """Return whether a step begins with a pruning."""
        within = self.begin <= step <= self.end
        return within and (step == self.end or (step - self.begin) % self.every == 0)


class _Kept(nn.Module):
    """The module that is trained, with its masks and the number of steps beside it, so that checkpoints hold them."""

    def __init__(self, module: nn.Module, masks: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(masks)
        for place, mask in enumerate(masks.values()):
            self.register_buffer(f"mask_{place}", mask.clone())
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def masks(self) -> Masks:
        return {name: self.get_buffer(f"mask_{place}") for place, name in enumerate(self.names)}


class MaskedTask(Generic[B]):
    """A task of `train` whose module keeps its zeros.

    Before each step what the optimiser moved becomes zero again, and masked weights get no slope. The masks are part
    of `module`, so a training that goes on from its checkpoint has them too. As long as a schedule rises, nothing is
    held out: weights that are not sparse enough yet are never the best ones.
    """

    def __init__(
        self,
        task: Task[B],
        masks: Mapping[str, Tensor],
        *,
        schedule: Cubic | None = None,
        scope: Scope = "global",
        scores: Callable[[nn.Module], Scores] = magnitude,
    ) -> None:
        self.task, self.schedule, self.scope, self.scores = task, schedule, scope, scores
        self._kept = _Kept(task.module, masks)
        apply_masks(task.module, masks)

    @property
    def module(self) -> nn.Module:
        """What is trained, with its masks."""
        return self._kept

    @property
    def masks(self) -> Masks:
        """Where weights are left, by their names in the task's module."""
        return self._kept.masks()

    @property
    def sparsity(self) -> float:
        """Share of zeros among the weights that are masked, as it stands."""
        masks = self.masks.values()
        return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    @property
    def finished(self) -> bool:
        """Whether the schedule has reached its end."""
        return self.schedule is None or int(self._kept.get_buffer("step")) > self.schedule.end

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[B]:
        """Return the task's batches of an epoch."""
        return self.task.batches(epoch, rng)

    def backward(self, batch: B) -> float:
        """Prune where it is time, learn from a batch, and leave masked weights without a slope."""
        count = self._kept.get_buffer("step")
        self._zero()
        if self.schedule is not None and self.schedule.due(int(count)):
            share = self.schedule.sparsity(int(count))
            found = sparsify(self.task.module, share, scope=self.scope, scores=self.scores(self.task.module))
            for name, mask in self.masks.items():
                mask.copy_(found[name])
        loss = self.task.backward(batch)
        for name, mask in self.masks.items():
            slope = self.task.module.get_parameter(name).grad
            if slope is not None:
                slope.mul_(mask.to(slope.device))
        count += 1
        return loss

    def quality(self) -> float | None:
        """Return the task's held-out quality; None as long as the schedule rises."""
        self._zero()
        return self.task.quality() if self.finished else None

    def _zero(self) -> None:
        apply_masks(self.task.module, self.masks)


def masked(task: Task[B], masks: Mapping[str, Tensor]) -> MaskedTask[B]:
    """Return a task that trains what is left of a pruned module: weights where `masks` is False stay zero.

    Args:
        task: trains the module that was pruned.
        masks: what `sparsify` returned.
    """
    return MaskedTask(task, masks)


def gradual(
    task: Task[B],
    schedule: Cubic,
    *,
    scope: Scope = "global",
    scores: Callable[[nn.Module], Scores] = magnitude,
) -> MaskedTask[B]:
    """Return a task that prunes its module while it trains. What is zero once stays so.

    Where the training ends before the schedule, the weights have the sparsity reached by then; `finished` tells.

    Args:
        task: trains the module.
        schedule: the sparsity of each step.
        scope: as in `sparsify`.
        scores: of the weights as they stand; a weight of 0 must have score 0, as it has by its magnitude.

    Raises:
        ConfigError: as `sparsify`.
    """
    found = sparsify(task.module, schedule.initial, scope=scope, scores=scores(task.module))
    return MaskedTask(task, found, schedule=schedule, scope=scope, scores=scores)
