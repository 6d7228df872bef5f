import copy

import numpy as np
import pytest
import torch

from twofold.compress.prune import choose_layers, drop_heads, drop_layers, importance, layer_importance, weakest
from twofold.compress.prune.families import find_body
from twofold.core.errors import ConfigError, DataError

FAMILIES = ["bert", "gpt", "t5"]


def runner(model):
    body = model.model if hasattr(model, "lm_head") else model

    def run(feed):
        mask = torch.from_numpy(feed["attention_mask"])
        out = body(input_ids=torch.from_numpy(feed["input_ids"]), attention_mask=mask).last_hidden_state
        return (out * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    return run


@pytest.fixture
def feeds():
    ids = np.random.default_rng(0).integers(7, 20, (6, 5))
    return [{"input_ids": ids[at : at + 3], "attention_mask": np.ones((3, 5), np.int64)} for at in (0, 3)]


@pytest.mark.parametrize("family", FAMILIES)
def test_importance_is_the_squared_slope_of_the_output(make_model, feeds, family):
    model = make_model(family)
    found = importance(model, runner(model), feeds, draws=100)
    body, run, step = find_body(model), runner(model), 1e-2
    layer = body.stack[1]
    width = body.head_size(layer) * body.group(layer)

    def slope(linear, columns):
        """Change the gate of some columns by a small step both ways."""
        whole = linear.weight.data.clone()
        outs = []
        for sign in (1, -1):
            linear.weight.data = whole.clone()
            linear.weight.data[:, columns] *= 1 + sign * step
            with torch.no_grad():
                outs.append(torch.cat([run(feed) for feed in feeds]).double())
        linear.weight.data = whole
        return float(((outs[0] - outs[1]) / (2 * step)).square().sum(dim=1).mean())

    neuron = slope(body.linear(layer, body.family.narrow), [3])
    assert found.neurons[1][3] == pytest.approx(neuron, rel=0.25)
    if family != "t5":
        head = slope(body.linear(layer, body.family.output), list(range(2 * width, 3 * width)))
        assert found.heads[1][2] == pytest.approx(head, rel=0.25)
    assert [len(one) for one in found.heads] == body.heads
    assert [len(one) for one in found.neurons] == body.neurons


def test_of_one_output_the_slope_is_exact_with_one_draw(make_model, feeds):
    model = make_model("bert")
    run = runner(model)
    found = [importance(model, lambda feed: run(feed)[:, :1], feeds, draws=draws, seed=draws) for draws in (1, 3)]
    assert np.allclose(found[0].heads, found[1].heads)  # the square of a sign is 1


def test_what_does_nothing_matters_nothing_and_frozen_models_are_measured_too(make_model, feeds):
    model = make_model("bert").requires_grad_(False).train()
    body = find_body(model)
    body.linear(body.stack[0], body.family.output).weight[:, 4:8] = 0
    body.linear(body.stack[2], body.family.narrow).weight[:, 7] = 0
    found = importance(model, runner(model), feeds)
    assert found.heads[0][1] == found.neurons[2][7] == 0
    assert (np.delete(found.heads[0], 1) > 0).all()
    assert model.training
    assert weakest(found.heads, 0.25)[0] == (1,)
    assert weakest(found.neurons, 1 / 24)[2] == (7,)


def test_the_heads_of_a_t5_are_chosen_alike_in_all_layers(make_model, feeds):
    model = make_model("t5")
    found = importance(model, runner(model), feeds)
    drop_heads(model, weakest(found.heads, 0.5))
    assert find_body(model).heads == [2, 2, 2]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_importance_of_a_layer_is_what_dropping_it_does(make_model, feeds, family):
    model = make_model(family)
    found = layer_importance(model, runner(model), feeds, without=[1])
    assert found[1] == np.inf
    cut = copy.deepcopy(model)
    drop_layers(cut, [0, 1])
    with torch.no_grad():
        moved = torch.cat([runner(cut)(feed) - runner(model)(feed) for feed in feeds])
    assert found[0] == pytest.approx(float(moved.square().sum(dim=1).mean()), rel=1e-4)


def test_layers_that_do_nothing_go_first(make_model, feeds):
    model = make_model("t5")
    body = find_body(model)
    for place, share in ((0, 1e-5), (2, 1e-2)):
        for name in (body.family.output, body.family.narrow):
            body.linear(body.stack[place], name).weight.data *= share
    assert choose_layers(model, runner(model), feeds, 1) == [0]
    assert choose_layers(model, runner(model), feeds, 2) == [0, 2]
    with pytest.raises(ConfigError, match="3 of 3 layers cannot be dropped"):
        choose_layers(model, runner(model), feeds, 3)


def test_the_weakest_are_chosen_evenly_or_over_all_layers():
    amounts = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([40.0, 30.0, 20.0, 10.0])]
    assert weakest(amounts, 0.5) == {0: (0, 1), 1: (2, 3)}
    assert weakest(amounts, 0.5, even=False) == {0: (0, 1, 2), 1: (3,)}  # one stays in each layer
    assert weakest(amounts, 0.7, multiple=2) == {0: (0, 1), 1: (2, 3)}
    assert weakest(amounts, 0.99) == {0: (0, 1, 2), 1: (1, 2, 3)}
    assert weakest(amounts, 0.0) == {}
    for options in ({"share": 1.0}, {"share": 0.5, "multiple": 0}, {"share": 0.5, "multiple": 2, "even": False}):
        with pytest.raises(ConfigError, match=r"sparsity|multiple"):
            weakest(amounts, **options)


def test_without_inputs_nothing_is_measured(make_model):
    model = make_model("bert")
    for measure in (importance, layer_importance):
        with pytest.raises(DataError, match="at least one batch"):
            measure(model, runner(model), [])
