import numpy as np
import pytest
import torch
from torch import nn

from twofold.compress.prune import magnitude, sparsify, taylor, wanda
from twofold.core.errors import ConfigError, DataError


def linear(matrix):
    module = nn.Sequential(nn.Linear(len(matrix[0]), len(matrix)))
    module[0].weight.data = torch.tensor(matrix)
    return module


def through(module):
    return lambda feed: module(torch.from_numpy(feed["x"]))


class Sum:
    """A loss that is the sum of the outputs, so that its slope at w_ij is the sum of x_j."""

    def __init__(self, module):
        self.module = module

    def backward(self, batch):
        loss = self.module(batch).sum()
        loss.backward()
        return loss.item()


def test_magnitude_is_the_size():
    assert magnitude(linear([[-1.0, 2.0]]))["0.weight"].tolist() == [[1, 2]]


def test_wanda_multiplies_with_the_norm_of_what_comes_in():
    module = linear([[1.0, -2.0], [3.0, 0.5]])
    feeds = [{"x": np.array([[3.0, 1.0]], np.float32)}, {"x": np.array([[4.0, 0.0]], np.float32)}]
    scores = wanda(module, through(module), feeds)
    assert torch.allclose(scores["0.weight"], torch.tensor([[5.0, 2.0], [15.0, 0.5]]))  # norms 5 and 1
    sparsify(module, 0.5, scope="row", scores=scores)
    assert module[0].weight.tolist() == [[1, 0], [3, 0]]  # the magnitude would have kept -2


def test_wanda_does_not_count_padding():
    module = linear([[1.0]])
    feed = {"x": np.array([[[3.0], [100.0]], [[4.0], [100.0]]], np.float32), "attention_mask": np.array([[1, 0]] * 2)}
    assert wanda(module, through(module), [feed])["0.weight"].item() == pytest.approx(5.0)


def test_a_layer_that_no_feed_reaches_gets_no_scores_and_stays_dense():
    module = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    scores = wanda(module, through(module["used"]), [{"x": np.ones((1, 2), np.float32)}])
    assert list(scores) == ["used.weight"]
    assert list(sparsify(module, 0.5, scores=scores)) == ["used.weight"]
    assert bool(module["idle"].weight.all())


def test_taylor_is_weight_times_slope():
    module = linear([[1.0, -2.0, 4.0]])
    scores = taylor(Sum(module), [torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])])
    assert scores["0.weight"].tolist() == [[2, 2, 0]]
    assert module[0].weight.grad is None


def test_what_scores_need_is_asked_for():
    module = linear([[1.0]])
    with pytest.raises(DataError, match="at least one batch"):
        wanda(module, through(module), [])
    with pytest.raises(DataError, match="at least one batch"):
        taylor(Sum(module), [])


def test_activations_that_are_no_numbers_are_refused():
    module = linear([[1.0]])
    with pytest.raises(ConfigError, match="activations are no numbers"):
        wanda(module, through(module), [{"x": np.array([[np.inf]], np.float32)}])
