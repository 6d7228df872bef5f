"""`twofold.compress.quantise.adaptive`: sensitivity of layers, and the choice of their bits."""

from itertools import product as combinations

import numpy as np
import onnx
import pytest
from tests.compress.quantise.conftest import LAYERS, product

from twofold.compress.quantise.adaptive import Layer, choose_bits, layers_of, sensitivity
from twofold.compress.quantise.graph import Options, quantise_graph
from twofold.compress.quantise.soundness import load_graph
from twofold.core.errors import ConfigError


def brute_force(costs, errors, budget):
    picks = combinations(*costs.values())
    possible = [
        sum(errors[name][bits] for name, bits in zip(costs, pick, strict=True))
        for pick in picks
        if sum(costs[name][bits] for name, bits in zip(costs, pick, strict=True)) <= budget
    ]
    return min(possible)


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    costs, errors = {}, {}
    for place in range(7):
        size, hurt = rng.integers(10, 100), rng.random()
        costs[f"layer{place}"] = {32: 4.0 * size, 8: 1.0 * size, 4: 0.5 * size}
        errors[f"layer{place}"] = {32: 0.0, 8: 0.01 * hurt, 4: hurt}
    budget = sum(one[4] for one in costs.values()) * rng.uniform(1, 4)
    chosen = choose_bits(costs, errors, budget)
    assert sum(costs[name][bits] for name, bits in chosen.items()) <= budget
    assert sum(errors[name][bits] for name, bits in chosen.items()) == pytest.approx(brute_force(costs, errors, budget))


def test_a_budget_below_the_least_is_refused():
    with pytest.raises(ConfigError, match="above the budget 9"):
        choose_bits({"a": {8: 20, 4: 10}}, {"a": {8: 0, 4: 1}}, 9)


def test_bytes_of_a_layer_by_hand():
    matrix = Layer(name="m", weight="w", shape=(128, 10), table=False)
    assert [matrix.bytes(bits) for bits in (32, 8, 4)] == [5120, 1280 + 40, 640 + 4 * 20]
    table = Layer(name="t", weight="w", shape=(100, 64), table=True)
    assert [table.bytes(bits) for bits in (32, 8, 4)] == [25600, 6400 + 400, 3200 + 4 * 200]


def test_the_layer_that_matters_is_found():
    rng = np.random.default_rng(0)
    rough = rng.standard_normal((64, 64))
    rough[::16] *= 40  # large neighbours leave the others in a group few levels
    feeds = [{"x": rng.standard_normal((32, 64)).astype(np.float32)}]
    found = sensitivity(product(np.eye(64), rough), feeds)
    assert list(found) == ["product0", "product1"]
    assert found["product0"][4] < 1e-6 < found["product1"][4]
    assert found["product1"][8] < found["product1"][4]


def test_a_transformer_in_the_bits_that_were_chosen(fused, feeds):
    layers = {layer.name: layer for layer in layers_of(load_graph(fused.content))}
    assert sum(layer.table for layer in layers.values()) == 2  # words and places
    assert len(layers) == 2 + 6 * LAYERS
    errors = sensitivity(fused.content, feeds[:1])
    assert set(errors) == set(layers)
    costs = {name: {bits: layer.bytes(bits) for bits in (8, 4)} for name, layer in layers.items()}
    whole = sum(cost[8] for cost in costs.values())
    bits = choose_bits(costs, errors, 0.8 * whole)
    assert set(bits.values()) == {4, 8}
    adapted = quantise_graph(fused.content, Options(granularity="channel", floor=0.8), feeds, bits)
    kinds = [node.op_type for node in onnx.load_model_from_string(adapted.content).graph.node]
    few = [name for name, count in bits.items() if count == 4]
    assert kinds.count("GatherBlockQuantized") == sum(layers[name].table for name in few)
    assert kinds.count("MatMulNBits") == sum(not layers[name].table for name in few)
    eight = quantise_graph(fused.content, Options(granularity="channel"), feeds)
    assert len(adapted.content) < len(eight.content)


def test_it_needs_texts_and_layers(fused):
    with pytest.raises(ConfigError, match="there are none"):
        sensitivity(fused.content, [])
