"""The two towers in torch. Legend: b rows, w columns, d width, m items, n likes of a batch, c size of content."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from twofold.core.config import table
from twofold.core.history import Histories
from twofold.core.scores import Floats
from twofold.core.stage import Progress
from twofold.models.checkpoints import checkpoint_folder
from twofold.models.holding import HeldOut, hold_out
from twofold.models.sequential.events import Block, blocks
from twofold.models.sequential.windows import LazyBlock, Windows
from twofold.models.spectral import spectral_vectors, told_by
from twofold.models.two_tower import TwoTowerConfig
from twofold.train import TrainingReport, sampled_softmax, train

__all__ = ["Towers", "TowersTask", "fit_towers"]

AT_ONCE = 256


class Towers(nn.Module):
    """Both towers; see `TwoTower` for what they compute.

    Args:
        config: the options.
        vectors: from what the items' vectors start, [m, d].
        counts: likes of the items, [m].
        content: what an encoder says of the items, [m, c].
    """

    def __init__(self, config: TwoTowerConfig, vectors: Floats, counts: Floats, content: Floats | None = None) -> None:
        super().__init__()
        self.config, size = config, config.width * len(config.recency)
        popular = np.log1p(counts)
        self.bias = nn.Parameter(torch.from_numpy((popular - popular.mean()).astype(np.float32)))
        self.straight = nn.Linear(size, config.width, bias=False)
        self.widen, self.narrow = nn.Linear(size, config.inner), nn.Linear(config.inner, config.width)
        with torch.no_grad():
            self.straight.weight.copy_(torch.eye(config.width).repeat(1, len(config.recency)) / len(config.recency))
            self.narrow.weight.mul_(0.1)
        self.project = None
        if content is not None:
            self.content = nn.Buffer(torch.from_numpy(content), persistent=False)
            self.project = nn.Linear(content.shape[1], config.width, bias=False)
            projection = told_by(content, vectors)
            self.project.weight.data = torch.from_numpy(projection.T.copy())
            vectors = vectors - content @ projection
        self.ids = nn.Parameter(torch.from_numpy(vectors))
        age = torch.arange(config.length)[:, None] - torch.arange(config.length)
        decays = torch.stack([(recency ** age.clamp(min=0)).tril() for recency in config.recency])
        self.decays = nn.Buffer(decays / decays.sum(dim=2, keepdim=True), persistent=False)

    def table(self) -> Tensor:
        """Return the vectors of the items, [m, d]."""
        if self.project is None:
            return self.ids
        ids: Tensor = self.ids
        if self.training and self.config.content_dropout:
            ids = ids * (torch.rand(len(ids), 1, device=ids.device) >= self.config.content_dropout)
        whole: Tensor = ids + self.project(self.content)
        return whole

    def forward(self, liked: Tensor) -> Tensor:
        """Return the users' vectors after each of their likes, [b, w, d], from the items' vectors [b, w, d]."""
        width = liked.shape[1]
        liked = functional.dropout(liked, self.config.dropout, self.training)
        pooled = torch.einsum("kij,bjd->bikd", self.decays[:, :width, :width], liked).flatten(2)
        users: Tensor = self.straight(pooled) + self.narrow(functional.relu(self.widen(pooled)))
        return users


class TowersTask:
    """Learns to tell each like from the likes before it."""

    def __init__(self, towers: Towers, log: Histories, held: HeldOut | None) -> None:
        self.module: nn.Module = towers
        self.towers, self.config, self.held = towers, towers.config, held
        self.device = towers.bias.device
        self.windows = Windows(log, length=self.config.length + 1, tokens=self.config.tokens)
        counts = np.bincount(log.items, minlength=len(towers.bias))
        drawn = counts if self.config.loss == "in-batch" else counts**0.75
        self.shares = torch.from_numpy(np.maximum(drawn, 0.1) / np.maximum(drawn, 0.1).sum()).float().to(self.device)

    def batches(self, epoch: int, rng: np.random.Generator) -> list[LazyBlock]:
        """Return the batches of an epoch."""
        return self.windows.batches(rng)

    def backward(self, batch: LazyBlock) -> float:
        """Compute the loss of a batch and its gradients."""
        events, vectors = batch.make(), self.towers.table()
        items, filled = self._tensor(events.items), self._tensor(events.filled)[:, 1:]
        users, targets = self.towers(functional.embedding(items[:, :-1], vectors))[filled], items[:, 1:][filled]
        drawn = targets
        if self.config.loss == "sampled":
            drawn = torch.multinomial(self.shares, self.config.negatives, replacement=True)
        expected = torch.log(self.shares * len(drawn))
        loss = sampled_softmax(users, vectors, targets, drawn, log_q=expected, bias=self.towers.bias)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def quality(self) -> float | None:
        """Return NDCG@10 of the held-out likes among all items that the user has not had."""
        if self.held is None:
            return None
        vectors, gains = self.towers.table(), []
        for rows, events in blocks(self.held.histories.last(self.config.length), AT_ONCE):
            scores = self._last(events, vectors) @ vectors.T + self.towers.bias
            gains.append(self.held.gains(rows, scores.float().cpu().numpy()))
        return float(np.concatenate(gains).mean())

    def _last(self, events: Block, vectors: Tensor) -> Tensor:
        """Return the users' vectors after all their likes, [b, d]."""
        users = self.towers(functional.embedding(self._tensor(events.items), vectors))
        last: Tensor = users[torch.arange(len(users), device=self.device), self._tensor(events.lengths) - 1]
        return last

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def fit_towers(
    config: TwoTowerConfig,
    log: Histories,
    content: Floats | None,
    *,
    seed: int,
    about: str,
    progress: Progress | None = None,
) -> tuple[Mapping[str, Floats], TrainingReport]:
    """Train the towers on histories of likes over the codes 0 to m - 1; return their weights and how it went.

    Args:
        config: the options.
        log: the histories.
        content: what an encoder says of the items, [m, c]; None without one.
        seed: of everything random.
        about: what the data are, for the checkpoint.
        progress: told how far it is.
    """
    items = int(log.items.max(initial=-1)) + 1
    rest, held = hold_out(log, config.holdout, np.random.default_rng(seed))
    counts = np.bincount(rest.items, minlength=items).astype(np.float32)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        towers = Towers(config, spectral_vectors(rest, items, config.width, seed), counts, content)
        towers = towers.to("cuda" if torch.cuda.is_available() else "cpu")
    owner = {"data": about, "model": table(replace(config, checkpoint="")), "seed": seed}
    report = train(
        TowersTask(towers, rest, held),
        config.training,
        seed=seed,
        checkpoint=checkpoint_folder(config.checkpoint, owner),
        about=owner,
        progress=progress,
    )
    return {name: value.detach().cpu().numpy() for name, value in towers.state_dict().items()}, report
