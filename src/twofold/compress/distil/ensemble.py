"""An ensemble of rankers to one small network, by regression on its scores. Needs torch."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from twofold.compress.distil.examples import Arrays, Index
from twofold.compress.distil.losses import scores
from twofold.compress.distil.ranker import SmallRanker
from twofold.compress.distil.task import DistilTask
from twofold.core.errors import DataError
from twofold.core.scores import Floats
from twofold.train import Training, TrainingReport, train

__all__ = ["small_ranker"]

HELD_OUT = 0.1


def small_ranker(
    features: Floats,
    said: Floats,
    *,
    hidden: tuple[int, ...] = (32,),
    training: Training,
    seed: int,
    groups: Index | None = None,
    batch_size: int = 256,
) -> tuple[SmallRanker, TrainingReport]:
    """Return a small network that gives what an ensemble of rankers gives, by regression on its scores.

    A tenth is put aside, whole queries where there are such; the report's quality is R² on it:
    `1 - mean (student - ensemble)^2 / variance`.

    Args:
        features: what the ensemble's rankers see or say of each candidate, [n, f]; NaN where there is nothing.
        said: the ensemble's scores, [n].
        hidden: neurons of each hidden layer; () for a linear ranker.
        training: how long and how.
        seed: of what is put aside, the start and the order.
        groups: which query each row belongs to, [n].
        batch_size: rows at once.

    Raises:
        DataError: there are fewer than ten rows, a score is no number, or a feature is infinite.
    """
    if len(features) != len(said) or len(said) < 10 or not np.isfinite(said).all() or np.isinf(features).any():
        raise DataError(
            f"{len(features)} rows of features and {len(said)} scores make no ranker; give at least ten of each, "
            "without infinite ones."
        )
    rng = np.random.default_rng(seed)
    kinds = np.arange(len(said)) if groups is None else groups
    names = np.unique(kinds)
    aside = rng.permutation(names)[: max(int(HELD_OUT * len(names)), 1)] if len(names) > 1 else names[:0]
    held = np.flatnonzero(np.isin(kinds, aside))
    blank = _standard(features)
    inputs = blank.prepare(features)
    centre, spread = float(said.mean()), float(said.std()) or 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network((inputs.shape[1], *hidden, 1))
    target = ((said - centre) / spread).astype(np.float32)
    examples = Arrays({"features": inputs})
    task = DistilTask(network, examples, [target], scores, held=held, quality=_explained, batch_size=batch_size)
    report = train(task, training, seed=seed)
    linear = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    matrices = [layer.weight.detach().numpy().T.copy() for layer in linear]
    biases = [layer.bias.detach().numpy().copy() for layer in linear]
    matrices[-1], biases[-1] = matrices[-1] * np.float32(spread), biases[-1] * np.float32(spread) + np.float32(centre)
    ranker = SmallRanker(
        mean=blank.mean,
        deviation=blank.deviation,
        missing=blank.missing,
        matrices=tuple(matrices),
        biases=tuple(biases),
    )
    return ranker, report


class _Network(nn.Module):
    """A feed-forward network of the given widths."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.layers(features)
        return found


def _standard(features: Floats) -> SmallRanker:
    """Return a ranker without matrices that knows the features' means and deviations."""
    gone = np.isnan(features)
    counts = np.maximum((~gone).sum(axis=0), 1)
    mean = np.where(gone, 0, features).sum(axis=0) / counts
    deviation = np.sqrt(np.where(gone, 0, np.square(features - mean)).sum(axis=0) / counts)
    return SmallRanker(
        mean=mean.astype(np.float32),
        deviation=np.where(deviation > 1e-6, deviation, 1).astype(np.float32),
        missing=np.flatnonzero(gone.any(axis=0)),
        matrices=(),
        biases=(),
    )


def _explained(student: Floats, said: Floats) -> float:
    return 1 - float(np.square(student[:, 0] - said).mean() / max(float(said.var()), 1e-12))
