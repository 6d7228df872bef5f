import pytest
import torch
from torch import nn

from twofold.compress.prune import magnitude, sparsify, sparsify_below, zero_share
from twofold.core.errors import ConfigError

SEED = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]


def network(*matrices):
    layers = []
    for matrix in matrices:
        layer = nn.Linear(len(matrix[0]), len(matrix))
        layer.weight.data = torch.tensor(matrix)
        layers.append(layer)
    return nn.Sequential(*layers)


def test_a_threshold_prunes_a_network_as_it_prunes_an_array():
    module = network(SEED)
    masks = sparsify_below(module, 0.3)
    assert torch.equal(module[0].weight, torch.tensor([[0, 0, 0], *SEED[1:]]))
    assert masks["0.weight"].tolist() == [[False] * 3, [True] * 3, [True] * 3]


def test_a_global_sparsity_compares_all_layers_and_a_local_one_each_by_itself():
    large = [[10.0, -20.0], [30.0, 40.0]]
    small = [[0.1, 0.2], [0.3, 0.4]]
    module = network(large, small)
    sparsify(module, 0.5)
    assert module[0].weight.tolist() == large
    assert not module[1].weight.any()
    module = network(large, small)
    sparsify(module, 0.5, scope="layer")
    assert module[0].weight.tolist() == [[0, 0], [30, 40]]
    assert torch.equal(module[1].weight, torch.tensor([[0, 0], [0.3, 0.4]]))


def test_a_row_is_compared_with_itself():
    module = network([[1.0, 2.0, 3.0, 4.0], [40.0, 30.0, 20.0, 10.0]])
    sparsify(module, 0.25, scope="row")
    assert module[0].weight.tolist() == [[0, 2, 3, 4], [40, 30, 20, 0]]


def test_of_equal_weights_exactly_so_many_go():
    module = network([[1.0] * 10])
    masks = sparsify(module, 0.3)
    assert masks["0.weight"].tolist() == [[False] * 3 + [True] * 7]


def test_two_of_four_are_left_along_the_inputs():
    module = network([[1.0, -4.0, 3.0, 2.0, 5.0, 5.0, 5.0, 6.0]])
    sparsify(module, pattern=(2, 4))
    assert module[0].weight.tolist() == [[0, -4, 3, 0, 0, 0, 5, 6]]
    assert zero_share(module).layers == {"0.weight": 0.5}


def test_a_pattern_that_does_not_divide_the_inputs_is_refused_before_anything_changes():
    module = network([[1.0] * 4] * 6, [[1.0] * 6])
    with pytest.raises(ConfigError, match=r"1.weight has 6 inputs, which 2:4 does not divide"):
        sparsify(module, pattern=(2, 4))
    assert bool(module[0].weight.all())


@pytest.mark.parametrize("pattern", [(0, 4), (5, 4)])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(ConfigError, match="a pattern cannot be"):
        sparsify(network([[1.0] * 4]), pattern=pattern)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_a_sparsity_outside_its_range_is_refused(sparsity):
    with pytest.raises(ConfigError, match="a sparsity cannot be"):
        sparsify(network(SEED), sparsity)


def test_a_sparsity_and_a_pattern_together_are_refused_and_so_is_neither():
    for options in ({}, {"sparsity": 0.5, "pattern": (2, 4)}):
        with pytest.raises(ConfigError, match="either a sparsity or a pattern"):
            sparsify(network(SEED), **options)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value):
    module = network(SEED)
    module[0].weight.data[1, 1] = value
    for prune in (lambda: sparsify(module, 0.5), lambda: sparsify_below(module, 0.3), lambda: zero_share(module)):
        with pytest.raises(ConfigError, match=r"0.weight holds NaN or infinite"):
            prune()


def test_scores_of_another_model_are_refused():
    with pytest.raises(ConfigError, match="not in that shape"):
        sparsify(network(SEED), 0.5, scores=magnitude(network([[1.0, 2.0]])))


def test_convolutions_are_pruned_too_and_tables_are_not():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.look = nn.Embedding(4, 3), nn.Conv2d(1, 2, 2)
            self.tied = nn.Linear(3, 4, bias=False)
            self.tied.weight = self.table.weight

    module = Mixed()
    masks = sparsify(module, 0.5)
    assert list(masks) == ["look.weight"]
    assert int((module.look.weight == 0).sum()) == 4
    found = zero_share(module)
    assert (found.zeros, found.parameters) == (4, 12 + 8 + 2)
    assert found.share == 4 / 22


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(ConfigError, match="no linear or convolution layer"):
        sparsify(nn.LayerNorm(3), 0.5)
