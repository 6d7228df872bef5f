"""What the training loop needs of the sequential model: batches, loss and held-out quality."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from twofold.core.history import Histories
from twofold.models.holding import HeldOut
from twofold.models.sequential.events import NEUTRAL, Block, blocks
from twofold.models.sequential.network import Network
from twofold.models.sequential.positions import visible
from twofold.models.sequential.windows import LazyBlock, Windows
from twofold.train.losses import cross_entropy, sampled_softmax

__all__ = ["SequenceTask"]

MANY_ITEMS = 50_000
AT_ONCE = 128


class SequenceTask:
    """Learns to tell the items of events from those around them.

    Args:
        network: what is trained.
        log: histories in the network's item codes.
        held: what the quality is measured on; None for nothing.
    """

    def __init__(self, network: Network, log: Histories, held: HeldOut | None) -> None:
        self.module: torch.nn.Module = network
        self.network, self.config, self.held = network, network.config, held
        self.device = network.bias.device
        # A window of w + 1 events has w that are told from those before.
        extra = self.config.objective == "causal"
        self.windows = Windows(log, length=self.config.length + extra, tokens=self.config.tokens)
        items = len(network.bias)
        self.sampled = self.config.loss == "sampled" or (self.config.loss == "auto" and items > MANY_ITEMS)
        shares = np.bincount(log.items, minlength=items) ** 0.75 + 1
        self.shares = torch.from_numpy(shares / shares.sum()).to(self.device, torch.float32)
        self.log_q = torch.log(self.shares * self.config.negatives)

    def batches(self, epoch: int, rng: np.random.Generator) -> list[LazyBlock]:
        """Return the batches of an epoch."""
        return self.windows.batches(rng)

    def backward(self, batch: LazyBlock) -> float:
        """Compute the loss of a batch and its gradients."""
        events = batch.make()
        table = self.network.table()
        hidden, targets = self._told(events, table)
        if not len(targets):
            return 0.0
        items, bias = table[:-1], self.network.bias
        if self.sampled:
            drawn = torch.multinomial(self.shares, self.config.negatives, replacement=True)
            loss = sampled_softmax(hidden, items, targets, drawn, log_q=self.log_q, bias=bias)
        else:
            loss = cross_entropy(hidden, items, targets, bias)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _told(self, events: Block, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states that tell likes, [n, d], and the likes, [n]."""
        items, gaps, values = (self._tensor(part) for part in (events.items, events.gaps, events.values))
        liked = self._tensor(events.filled & (events.values > NEUTRAL))
        lengths = self._tensor(events.lengths)
        if self.config.objective == "causal":
            seen = functional.embedding(items[:, :-1], table)
            states = self.module(seen, gaps[:, :-1], values[:, :-1], lengths - 1)
            return states[liked[:, 1:]], items[:, 1:][liked[:, 1:]]
        # Half of the rows end early, in a hidden event: as a history of any length is asked for its next one.
        short = torch.rand(len(items), device=self.device) < 0.5
        ends = 2 + (torch.rand(len(items), device=self.device) * (lengths - 1)).long()
        lengths = torch.where(short, ends, lengths)
        places = torch.arange(items.shape[1], device=self.device)
        hidden = (torch.rand(items.shape, device=self.device) < self.config.masked) & (places < lengths[:, None])
        hidden = liked & (hidden | (short[:, None] & (places == lengths[:, None] - 1)))
        seen = functional.embedding(torch.where(hidden, len(table) - 1, items), table)
        states = self.module(seen, torch.where(hidden, 0, gaps), torch.where(hidden, 0, values), lengths)
        return states[hidden], items[hidden]

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def quality(self) -> float | None:
        """Return NDCG@10 of the held-out likes among all items that the user has not had."""
        if self.held is None:
            return None
        table = self.network.table()
        hidden = len(table) - 1 if self.config.objective == "masked" else None
        gains = []
        for rows, events in blocks(self.held.histories.last(visible(self.config)), AT_ONCE, hidden=hidden):
            scores = self._last_states(events, table).float() @ table[:-1].T + self.network.bias
            gains.append(self.held.gains(rows, scores.cpu().numpy()))
        return float(np.concatenate(gains).mean())

    def _last_states(self, events: Block, table: Tensor) -> Tensor:
        """Return the state at the last event of each history, [b, d]."""
        items, gaps, values, lengths = (
            self._tensor(part) for part in (events.items, events.gaps, events.values, events.lengths)
        )
        states = self.module(functional.embedding(items, table), gaps, values, lengths)
        last: Tensor = states[torch.arange(len(items), device=self.device), lengths - 1]
        return last
