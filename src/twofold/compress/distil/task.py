"""Distilling as the training loop wants it: any student, any examples, any loss. Needs torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from twofold.compress.distil.examples import Examples, Index
from twofold.compress.distil.losses import layers
from twofold.compress.distil.stack import layers_of, watched
from twofold.core.errors import ConfigError, DataError
from twofold.core.scores import Floats
from twofold.train import cached_backward

__all__ = ["DistilTask", "LayerMap", "by_length", "outputs"]

Loss = Callable[..., Tensor]
Quality = Callable[..., float]
WINDOW = 50
"""Batches within which rows are sorted by length, so that little of a batch is padding and chance remains."""


class LayerMap(nn.Module):
    """Which layers of a student learn the states of which layers of its teacher.

    Where the student is narrower, its states go through a matrix that is learned beside it and then thrown away.

    Args:
        student: what is trained.
        teacher: runs beside it, unchanged, on the same feeds.
        pairs: layer of the student to layer of the teacher, from 0.
        widths: of the states of student and teacher.
        weight: of the loss.

    Raises:
        ConfigError: there is no such layer.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        pairs: Mapping[int, int],
        widths: tuple[int, int],
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        depths = len(layers_of(student)), len(layers_of(teacher))
        if lost := [pair for pair in pairs.items() if pair[0] >= depths[0] or pair[1] >= depths[1]]:
            raise ConfigError(
                f"the map of layers names {lost[0]}, and the student has {depths[0]}, its teacher {depths[1]} layers; "
                "count from 0."
            )
        self.student, self.pairs, self.weight = student, dict(pairs), weight
        self._teacher = [teacher]  # no part of what is trained
        ours, theirs = widths
        self.project: nn.ModuleDict | None = None
        if ours != theirs:
            self.project = nn.ModuleDict({str(layer): nn.Linear(ours, theirs, bias=False) for layer in pairs})

    def forward(self, **feed: Tensor) -> Tensor:
        """Return what the student gives."""
        found: Tensor = self.student(**feed)
        return found

    def loss(self, feed: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the student gives, and the weighted loss of its layers."""
        teacher = self._teacher[0].eval()
        with ExitStack() as stack:
            theirs = stack.enter_context(watched(teacher))
            with torch.no_grad():
                teacher(**feed)
            ours = stack.enter_context(watched(self.student))
            found = self.student(**feed)
        project = None if self.project is None else {layer: self.project[str(layer)] for layer in self.pairs}
        mask = feed.get("attention_mask")
        return found, self.weight * layers(ours, theirs, self.pairs, mask=mask, project=project)


class DistilTask:
    """A student that learns what its teacher said of examples, without labels.

    The same serves for vectors of texts, for a cross-encoder's margins (`Triples`, `losses.margin`), for an ensemble
    of rankers (`Arrays` of features, `losses.scores`), and for soft labels over items (`losses.soft_items`).

    Args:
        module: takes a feed by name and gives [b, …]; what it learns is its own.
        examples: the n rows that it learns on.
        targets: what the loss gets beside the module's output, each [n, …]: the teacher's outputs first.
        loss: takes the output of a batch and its targets, and gives one number.
        held: rows put aside; the others are learned from.
        quality: takes the outputs for the rows put aside and their targets, as arrays; larger is better. Without
            it, the quality is the negative loss.
        batch_size: examples at once.
        part: examples computed at once; see `Distil.part`.

    Raises:
        DataError: targets and examples differ in number, or nothing is left to learn from.
    """

    def __init__(
        self,
        module: nn.Module,
        examples: Examples,
        targets: Sequence[npt.NDArray[Any]],
        loss: Loss,
        *,
        held: Index | None = None,
        quality: Quality | None = None,
        batch_size: int = 64,
        part: int = 0,
    ) -> None:
        self.module, self.examples, self.targets, self.loss = module, examples, list(targets), loss
        size = len(examples.lengths)
        if other := [len(target) for target in self.targets if len(target) != size]:
            raise DataError(f"the teacher said {other[0]} things of {size} examples; ask it about these anew.")
        self.held = np.empty(0, np.int64) if held is None else held
        self.learned = np.setdiff1d(np.arange(size), self.held)
        if not len(self.learned):
            raise DataError("there is no example to distil on; give more texts, or put fewer aside.")
        self._quality, self.batch_size, self.part = quality, batch_size, part

    @property
    def device(self) -> torch.device:
        """Where the student computes."""
        return next(self.module.parameters()).device

    def batches(self, epoch: int, rng: np.random.Generator) -> Sequence[Index]:
        """Return the rows of each batch of an epoch: of like length, in random order."""
        order = self.learned[rng.permutation(len(self.learned))]
        window = WINDOW * self.batch_size
        parts = [order[start : start + window] for start in range(0, len(order), window)]
        ordered = np.concatenate([part[np.argsort(self.examples.lengths[part], kind="stable")] for part in parts])
        found = [ordered[start : start + self.batch_size] for start in range(0, len(ordered), self.batch_size)]
        return [found[place] for place in rng.permutation(len(found)).tolist()]

    def backward(self, batch: Index) -> float:
        """Learn from some rows."""
        said = self._said(batch)
        if isinstance(self.module, LayerMap):
            found, apart = self.module.loss(self._feed(batch))
            total = self.loss(found, *said) + apart
            total.backward()  # type: ignore[no-untyped-call]
            return total.item()
        size = self.part or len(batch)
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        return cached_backward(self._run, [parts], lambda found: self.loss(found, *said))

    def quality(self) -> float | None:
        """Return how well the student does on the rows put aside."""
        if not len(self.held):
            return None
        found = outputs(self.module, self.examples, self.held, batch_size=self.batch_size)
        if self._quality is not None:
            return self._quality(found, *(target[self.held] for target in self.targets))
        return -self.loss(torch.from_numpy(found).to(self.device), *self._said(self.held)).item()

    def _said(self, rows: Index) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(target[rows])).to(self.device) for target in self.targets]

    def _feed(self, rows: Index) -> dict[str, Tensor]:
        feed = self.examples.feed(rows)
        return {name: torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for name, array in feed.items()}

    def _run(self, rows: Index) -> Tensor:
        found: Tensor = self.module(**self._feed(rows))
        return found


def by_length(examples: Examples, rows: Index, size: int) -> Iterator[Index]:
    """Yield rows in batches of like length, the longest first."""
    ordered = rows[np.argsort(-examples.lengths[rows], kind="stable")]
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def outputs(module: nn.Module, examples: Examples, rows: Index, *, batch_size: int = 64) -> Floats:
    """Return what a torch module gives for rows of examples, float32, in their order; it is left in evaluation mode.

    A module that gives several rows for an example, as `Triples` make it do, gives them one below the other.
    """
    device = next(module.parameters()).device
    module.eval()
    places = {row: place for place, row in enumerate(rows.tolist())}
    whole: Floats | None = None
    for batch in by_length(examples, rows, batch_size):
        feed = {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in examples.feed(batch).items()}
        with torch.no_grad():
            found = module(**{name: part.to(device) for name, part in feed.items()}).float().cpu().numpy()
        several = len(found) // len(batch)
        if whole is None:
            whole = np.empty((len(rows), several, *found.shape[1:]), np.float32)
        whole[[places[row] for row in batch.tolist()]] = found.reshape(len(batch), several, *found.shape[1:])
    if whole is None:
        raise DataError("there is no example to ask the student about; give more texts.")
    return whole.reshape(-1, *whole.shape[2:])
