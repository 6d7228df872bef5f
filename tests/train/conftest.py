from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch.nn import functional

BATCH = 4


@dataclass
class Regression:
    """Learns y from x with dropout, so that a resumed training is only equal where torch's chance is restored too."""

    module: torch.nn.Module
    x: torch.Tensor
    y: torch.Tensor
    held_out: bool = True
    fail_at: int | None = None
    seen: list[list[int]] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)

    def batches(self, epoch, rng):
        order = rng.permutation(len(self.x))
        return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]

    def backward(self, batch):
        if self.fail_at is not None and len(self.seen) >= self.fail_at:
            raise KeyboardInterrupt
        self.seen.append(batch.tolist())
        loss = functional.mse_loss(self.module(self.x[batch]), self.y[batch])
        loss.backward()
        return loss.item()

    def quality(self):
        if self.qualities:
            return self.qualities.pop(0)
        return -functional.mse_loss(self.module(self.x), self.y).item() if self.held_out else None


@pytest.fixture
def make_task():
    def make(**changes):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
        rng = np.random.default_rng(0)
        x = torch.tensor(rng.normal(size=(10, 3)), dtype=torch.float32)
        return Regression(module, x, x.sum(dim=1, keepdim=True), **changes)

    return make


@pytest.fixture
def weights_of():
    return lambda task: {name: value.clone() for name, value in task.module.state_dict().items()}
