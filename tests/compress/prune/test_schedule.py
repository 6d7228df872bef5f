from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch.nn import functional

from twofold.compress.prune import Cubic, gradual, masked, sparsify
from twofold.core.errors import ConfigError
from twofold.train import Training, train


@dataclass
class Regression:
    """Learns y from x; each evaluation is worse than the one before, so that the first weights are the best."""

    module: torch.nn.Module
    x: torch.Tensor
    fail_at: int | None = None
    held_out: bool = True
    asked: int = 0
    zeros: list[int] = field(default_factory=list)

    def batches(self, epoch, rng):
        order = rng.permutation(len(self.x))
        return [order[start : start + 4] for start in range(0, len(order), 4)]

    def backward(self, batch):
        if self.fail_at is not None and len(self.zeros) >= self.fail_at:
            raise KeyboardInterrupt
        self.zeros.append(int((self.module[0].weight == 0).sum()))
        loss = functional.mse_loss(self.module(self.x[batch]), self.x[batch].sum(dim=1, keepdim=True))
        loss.backward()
        return loss.item()

    def quality(self):
        self.asked += 1
        return -float(self.asked) if self.held_out else None


def make(**changes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Dropout(0.3), torch.nn.Linear(5, 1))
    x = torch.tensor(np.random.default_rng(0).normal(size=(12, 4)), dtype=torch.float32)
    return Regression(module, x, **changes)


def zeros(task):
    return sum(int((layer.weight == 0).sum()) for layer in (task.module[0], task.module[2]))


def test_the_schedule_rises_as_a_cube():
    schedule = Cubic(initial=0.2, final=0.8, begin=10, end=20, every=4)
    assert [schedule.sparsity(step) for step in (0, 10)] == pytest.approx([0.2, 0.2])
    assert schedule.sparsity(15) == pytest.approx(0.8 - 0.6 / 8)
    assert schedule.sparsity(20) == schedule.sparsity(30) == 0.8
    assert [step for step in range(30) if schedule.due(step)] == [10, 14, 18, 20]


@pytest.mark.parametrize(
    "options",
    [
        {"final": 1.0, "end": 5},
        {"final": 0.2, "initial": 0.3, "end": 5},
        {"final": 0.2, "begin": 5, "end": 5},
        {"final": 0.2, "end": 5, "every": 0},
    ],
)
def test_a_schedule_that_is_none_is_refused(options):
    with pytest.raises(ValueError, match=r"sparsity|wants begin"):
        Cubic(**options)


def test_masked_weights_stay_zero_and_the_others_learn():
    task = make()
    masks = sparsify(task.module, 0.6)
    before = task.module[0].weight.clone()
    train(masked(task, masks), Training(epochs=4, lr=0.05), seed=1)
    assert zeros(task) == 15  # of 25
    assert set(task.zeros) == {int((before == 0).sum())}
    assert not torch.equal(task.module[0].weight, before)


@pytest.mark.parametrize("held_out", [True, False])
def test_pruning_little_by_little_ends_at_the_sparsity_asked_for(held_out):
    task = make(held_out=held_out)
    wrapped = gradual(task, Cubic(final=0.8, end=6, every=2))
    report = train(wrapped, Training(epochs=4, lr=0.05), seed=1)
    assert zeros(task) == 20  # of 25, though a dense evaluation would have been the best
    assert wrapped.finished
    assert wrapped.sparsity == pytest.approx(0.8)
    assert task.zeros == sorted(task.zeros)
    assert task.zeros[0] == 0
    assert [step for step, _ in report.evaluations] == ([9, 12] if held_out else [])


def test_momentum_does_not_bring_back_what_was_pruned():
    task = make(held_out=False)
    wrapped = gradual(task, Cubic(final=0.8, end=11, every=11))  # the last step of all prunes; its update would leak
    train(wrapped, Training(steps=12, lr=0.5), seed=1)
    assert zeros(task) == 20


@pytest.mark.parametrize("kill", [1, 3, 7])
def test_a_killed_pruning_goes_on_to_the_same_bits(tmp_path, kill):
    options = Training(epochs=4, lr=0.05, checkpoint_minutes=0.0)
    schedule = Cubic(final=0.8, end=8, every=2)
    whole, cut, resumed = make(), make(fail_at=kill), make()
    train(gradual(whole, schedule), options, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train(gradual(cut, schedule), options, seed=1, checkpoint=tmp_path / "c")
    wrapped = gradual(resumed, schedule)
    train(wrapped, options, seed=1, checkpoint=tmp_path / "c")
    assert len(resumed.zeros) == 12 - kill
    expected = whole.module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.module.state_dict().items())
    assert all(torch.equal(mask, resumed.module.get_parameter(name) != 0) for name, mask in wrapped.masks.items())


def test_fixed_masks_come_back_from_a_checkpoint(tmp_path):
    options = Training(epochs=2, lr=0.05, checkpoint_minutes=0.0)
    cut, resumed = make(fail_at=2), make()
    with pytest.raises(KeyboardInterrupt):
        train(masked(cut, sparsify(cut.module, 0.6)), options, seed=1, checkpoint=tmp_path / "c")
    wrapped = masked(
        resumed,
        sparsify(
            resumed.module,
            0.6,
            scores={  # other masks than those of the checkpoint
                name: -weight.abs() for name, weight in resumed.module.named_parameters() if weight.ndim == 2
            },
        ),
    )
    train(wrapped, options, seed=1, checkpoint=tmp_path / "c")
    assert zeros(resumed) == zeros(cut) == 15
    assert all(torch.equal(resumed.module[at].weight == 0, cut.module[at].weight == 0) for at in (0, 2))


def test_a_schedule_cut_short_says_so():
    task = make()
    wrapped = gradual(task, Cubic(final=0.8, end=100))
    train(wrapped, Training(epochs=1, lr=0.05), seed=1)
    assert not wrapped.finished
    assert 0 < wrapped.sparsity < 0.8
    assert zeros(task) == round(25 * wrapped.sparsity)


def test_weights_that_are_no_numbers_are_refused():
    task = make()
    task.module[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ConfigError, match="NaN or infinite"):
        gradual(task, Cubic(final=0.5, end=3))
