import numpy as np
import pytest
import torch
from torch import nn

from twofold.compress.prune import magnitude, repair, sparsify
from twofold.core.errors import ConfigError, DataError


class Two(nn.Module):
    """Two layers that read the same inputs, and one that reads what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(24, 16), nn.Linear(24, 16, bias=False), nn.Linear(16, 8)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.left(x) + self.right(x)))


def run(module: nn.Module):
    return lambda feed: module(torch.from_numpy(feed["x"]))


@pytest.fixture
def original() -> Two:
    torch.manual_seed(0)
    return Two().eval()


@pytest.fixture
def feeds() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((10, 24)) / 4  # inputs that tell of each other, as a network's do
    return [{"x": (rng.standard_normal((64, 10)) @ mixing).astype(np.float32)} for _ in range(4)]


def pruned(original: Two, names: tuple[str, ...] = ("left", "right", "last")) -> tuple[Two, dict[str, torch.Tensor]]:
    copy = Two().eval()
    copy.load_state_dict(original.state_dict())
    scores = {f"{name}.weight": magnitude(copy)[f"{name}.weight"] for name in names}
    return copy, sparsify(copy, 0.5, scores=scores)


def apart(one: nn.Module, other: nn.Module, feeds: list[dict[str, np.ndarray]]) -> float:
    with torch.no_grad():
        return float(sum((run(one)(feed) - run(other)(feed)).square().mean() for feed in feeds))


def test_what_is_left_takes_over_what_went(original: Two, feeds: list[dict[str, np.ndarray]]) -> None:
    module, masks = pruned(original)
    before = apart(module, original, feeds)
    repair(module, original, masks, (run(module), run(original)), feeds)
    assert apart(module, original, feeds) < before / 3
    for name, mask in masks.items():
        assert not module.get_parameter(name)[~mask].any()


def test_one_layer_is_repaired_by_ridge_regression(original: Two, feeds: list[dict[str, np.ndarray]]) -> None:
    module, masks = pruned(original, ("left",))
    repair(module, original, masks, (run(module), run(original)), feeds, penalty=0.1)
    inputs = np.hstack([np.concatenate([feed["x"] for feed in feeds]), np.ones((256, 1))]).astype(np.float64)
    weights = np.hstack([original.left.weight.detach(), original.left.bias.detach()[:, None]]).astype(np.float64)
    kept = np.append(masks["left.weight"][3].numpy(), True)
    hold = 0.1 * np.diag(inputs.T @ inputs).mean()
    some = inputs[:, kept]
    system = some.T @ some + hold * np.eye(kept.sum())
    expected = np.linalg.solve(system, some.T @ (inputs @ weights[3]) + hold * weights[3, kept])
    found = np.append(module.left.weight[3].detach(), module.left.bias[3].detach())
    np.testing.assert_allclose(found[kept], expected, rtol=1e-3, atol=1e-5)


def test_padding_does_not_count(original: Two, feeds: list[dict[str, np.ndarray]]) -> None:
    found = []
    for padding in (0.0, 1e3):
        module, masks = pruned(original)
        mask = np.ones((64, 2), np.int64)
        mask[:, 1] = 0
        padded = [
            {"x": np.stack([feed["x"], np.full_like(feed["x"], padding)], axis=1), "attention_mask": mask}
            for feed in feeds
        ]
        repair(module, original, masks, (run(module), run(original)), padded)
        found.append(module.last.weight.detach().clone())
    torch.testing.assert_close(*found)


def test_what_cannot_be_repaired(original: Two, feeds: list[dict[str, np.ndarray]]) -> None:
    module, masks = pruned(original)
    runs = run(module), run(original)
    with pytest.raises(DataError, match="no"):
        repair(module, original, masks, runs, [])
    with pytest.raises(ConfigError, match="do not reach unused"):
        repair(module, original, {**masks, "unused.weight": torch.ones(3, 3, dtype=torch.bool)}, runs, feeds)
    module.norm = nn.LayerNorm(8)
    with pytest.raises(ConfigError, match="norm is no linear layer"):
        repair(module, original, {"norm.weight": torch.ones(8, dtype=torch.bool)}, runs, feeds)
