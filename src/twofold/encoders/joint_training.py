"""How the projections of `JointEncoder` are trained. Only `fit` needs this module, and torch with it."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from twofold.core.errors import DataError
from twofold.core.scores import Floats
from twofold.core.stage import Progress
from twofold.encoders.joint import JointConfig
from twofold.encoders.projection import Projection
from twofold.train.loop import train
from twofold.train.losses import contrastive

__all__ = ["train_projections"]

LEFT, RIGHT = 1, 2
"""The two sides that a modality of an item may be on; 0 for neither."""
FEWEST_HELD_OUT = 50

Sides = npt.NDArray[np.int8]
Batch = tuple[npt.NDArray[np.int64], Sides]
"""Rows [b], and the side of each of their modalities [b, m]."""


def train_projections(
    inputs: Mapping[str, Floats], config: JointConfig, *, seed: int, progress: Progress | None = None
) -> dict[str, Projection]:
    """Return a projection for each modality, trained on the items that have at least two.

    Args:
        inputs: the items' vectors by modality, [n, d of the modality]; zeros where an item lacks it.
        config: sizes and training.
        seed: of the first weights, the batches and the sides.
        progress: told how far it is.

    Raises:
        DataError: fewer than two items have several modalities.
    """
    task = Alignment(inputs, config, np.random.default_rng(seed))
    train(task, config.training, seed=seed, progress=progress)
    return {
        name: Projection.of([_array(value) for value in layers.parameters()])
        for name, layers in zip(inputs, task.module, strict=True)
    }


def _array(value: Tensor) -> Floats:
    """Return weights as [in, out], biases as they are."""
    return np.ascontiguousarray(value.detach().numpy().T, np.float32)


class Alignment:
    """The task: what one part of an item says must find what another part says."""

    module: nn.ModuleList

    def __init__(self, inputs: Mapping[str, Floats], config: JointConfig, rng: np.random.Generator) -> None:
        self.config = config
        self.present = np.stack([vectors.any(axis=1) for vectors in inputs.values()], axis=1)
        rows = rng.permutation(np.flatnonzero(self.present.sum(axis=1) > 1))
        if len(rows) < 2:
            raise DataError(
                f"fewer than two items have several of {', '.join(inputs)}, so nothing says what belongs together; "
                "give more items with both."
            )
        held_out = int(config.held_out * len(rows))
        held_out = held_out if held_out >= FEWEST_HELD_OUT else 0
        self.held_out, self.rows = np.sort(rows[:held_out]), np.sort(rows[held_out:])
        self.inputs = [torch.from_numpy(np.array(vectors)) for vectors in inputs.values()]
        self.alike = torch.from_numpy(_alike(next(iter(inputs.values()))))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self.module = nn.ModuleList(_layers(vectors.shape[1], config) for vectors in inputs.values())

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the items in a random order, parted anew each time; parts are about equal, so none is left alone."""
        order = rng.permutation(self.rows)
        for rows in np.array_split(order, -(-len(order) // self.config.batch)):
            yield rows, self._sides(rows, rng)

    def backward(self, batch: Batch) -> float:
        """Compute the loss of a batch and its gradients."""
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def quality(self) -> float | None:
        """Return how well held-out items are found: less loss is better."""
        if not len(self.held_out):
            return None
        return -self._loss((self.held_out, self._sides(self.held_out, np.random.default_rng(0)))).item()

    def _sides(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Sides:
        """Put one random modality of each item on the left, one on the right, and each other one anywhere."""
        present = self.present[rows]
        order = np.argsort(rng.random(present.shape) - present, axis=1)
        sides = rng.integers(3, size=present.shape, dtype=np.int8)
        np.put_along_axis(sides, order[:, :1], np.int8(LEFT), axis=1)
        np.put_along_axis(sides, order[:, 1:2], np.int8(RIGHT), axis=1)
        return sides * present

    def _loss(self, batch: Batch) -> Tensor:
        rows, sides = torch.from_numpy(batch[0]), torch.from_numpy(batch[1])
        left = right = torch.zeros(())
        for place, (layers, vectors) in enumerate(zip(self.module, self.inputs, strict=True)):
            hidden = functional.dropout(vectors[rows], self.config.dropout, self.module.training)
            projected = functional.normalize(layers(hidden), dim=1)
            left = left + projected * (sides[:, place, None] == LEFT)
            right = right + projected * (sides[:, place, None] == RIGHT)
        return contrastive(left, right, self.alike[rows], temperature=self.config.temperature, both=True)


def _layers(width: int, config: JointConfig) -> nn.Sequential:
    if not config.hidden:
        return nn.Sequential(nn.Linear(width, config.dimensions))
    return nn.Sequential(nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.dimensions))


def _alike(vectors: Floats) -> npt.NDArray[np.int64]:
    """Return a number for each item that those with equal vectors share; zeros are equal to nothing."""
    _, groups = np.unique(vectors, axis=0, return_inverse=True)
    groups = groups.ravel().astype(np.int64)
    alone = ~vectors.any(axis=1)
    groups[alone] = len(vectors) + np.flatnonzero(alone)
    return groups
