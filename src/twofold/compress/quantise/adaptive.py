"""Bits by layer: how much the answers suffer when one layer has fewer, and which choice keeps to a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from twofold.compress.quantise.formula import Scheme, dequantise, quantise
from twofold.compress.quantise.soundness import Feed, likeness, load_graph, rows_of, weight_of
from twofold.compress.quantise.weights import TABLE_BLOCK, tables_of
from twofold.core.errors import ConfigError
from twofold.core.session import open_session

__all__ = ["Layer", "choose_bits", "layers_of", "sensitivity"]

Costs = Mapping[str, Mapping[int, float]]
"""What each layer costs at each number of bits: bytes, milliseconds or errors."""
STATES = 20_000
"""Choices that are kept in mind while choosing; beyond, those of nearly the same cost are thinned out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A matrix or an embedding table that can have fewer bits."""

    name: str
    """Of the node that multiplies with it or gathers from it."""
    weight: str
    """The initializer's name."""
    shape: tuple[int, int]
    table: bool

    def bytes(self, bits: int, block: int = 64) -> int:
        """Return what it takes at 4 bits in blocks, at 8 with a scale a channel or row, or at 32."""
        rows, columns = self.shape
        if bits == 32:
            return 4 * rows * columns
        if bits == 8:
            return rows * columns + 4 * (rows if self.table else columns)
        groups = rows * -(-columns // TABLE_BLOCK) if self.table else columns * -(-rows // block)
        return rows * columns * bits // 8 + 4 * groups

    def rounded(self, weights: npt.NDArray[np.float32], bits: int, block: int = 64) -> npt.NDArray[np.float32]:
        """Return the weights as they are after quantisation."""
        if bits == 8:
            scheme = Scheme(granularity="channel")
        else:
            scheme = Scheme(bits=bits, granularity="group", group=TABLE_BLOCK if self.table else block)
        if self.table:
            return np.ascontiguousarray(dequantise(quantise(weights.T, scheme)).T)
        return dequantise(quantise(weights, scheme))


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """Return the layers of a graph, in its order: MatMuls with a matrix of fixed weights, and embedding tables."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    tables, weights = tables_of(model), weight_of(model)
    found: list[Layer] = []
    for node in model.graph.node:
        table = node.name in tables
        name = tables[node.name] if table else weights.get(node.name, "") if node.op_type == "MatMul" else ""
        if name and len(shapes[name]) == 2:
            rows, columns = shapes[name]
            found.append(Layer(name=node.name, weight=name, shape=(rows, columns), table=table))
    return found


def sensitivity(
    content: bytes, feeds: Sequence[Feed], *, bits: Sequence[int] = (8, 4), block: int = 64, threads: int = 1
) -> dict[str, dict[int, float]]:
    """Return the error of the answers when one layer alone has fewer bits, by layer and bits.

    The error is 1 less the mean cosine with the answers of full precision. Weights alone are rounded, not what they
    are multiplied with. One session serves all: each layer's weights are an input that has a default.

    Args:
        content: the graph of full precision, fused or not.
        feeds: some batches; 32 rows tell layers apart.
        bits: to try, 2 to 8.
        block: rows of a group below 8 bits.
        threads: for a run.

    Raises:
        ConfigError: there are no batches, or the graph has no layer to quantise.
    """
    if not feeds:
        raise ConfigError("sensitivity is measured on texts, and there are none; give some.")
    model = load_graph(content)
    layers = layers_of(model)
    if not layers:
        raise ConfigError("the graph has no product with fixed weights to quantise; export the model anew.")
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    model.ir_version = max(model.ir_version, 4)  # the first in which an input may have a default
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(tensors[name].dims))
        for name in dict.fromkeys(layer.weight for layer in layers)
    )
    session = open_session(model.SerializeToString(), "a network in the making", threads=threads)
    olds = np.concatenate([rows_of(session, feed) for feed in feeds])
    found: dict[str, dict[int, float]] = {}
    for layer in layers:
        weights = numpy_helper.to_array(tensors[layer.weight])
        found[layer.name] = {}
        for count in bits:
            changed = {layer.weight: layer.rounded(weights, count, block)}
            news = np.concatenate([rows_of(session, {**feed, **changed}, also=changed) for feed in feeds])
            found[layer.name][count] = max(0.0, 1 - float(likeness(olds, news).mean()))
    return found


def choose_bits(costs: Costs, errors: Costs, budget: float) -> dict[str, int]:
    """Return the bits of each layer that keep to a budget with the least sum of errors.

    A multiple-choice knapsack, solved exactly by keeping the choices that no other beats in both cost and error.

    Args:
        costs: what each layer takes at each number of bits: bytes, or milliseconds.
        errors: of the answers, see `sensitivity`; those of single layers add up where they are small.
        budget: for the sum of costs.

    Raises:
        ConfigError: even the cheapest choice is above the budget.

    >>> costs = {"first": {8: 100, 4: 50}, "second": {8: 100, 4: 50}}
    >>> errors = {"first": {8: 0.0, 4: 0.03}, "second": {8: 0.0, 4: 0.01}}
    >>> choose_bits(costs, errors, 150)
    {'first': 8, 'second': 4}
    """
    least = sum(min(options.values()) for options in costs.values())
    if least > budget:
        raise ConfigError(f"the layers take {least:g} at the fewest bits, above the budget {budget:g}; raise it.")
    rest = least
    states: list[tuple[float, float, tuple[int, ...]]] = [(0.0, 0.0, ())]
    for name, options in costs.items():
        rest -= min(options.values())
        grown = [
            (cost + options[bits], error + errors[name][bits], (*picks, bits))
            for cost, error, picks in states
            for bits in options
            if cost + options[bits] + rest <= budget + 1e-9
        ]
        grown.sort(key=lambda state: state[:2])
        states = []
        for state in grown:
            if not states or state[1] < states[-1][1]:
                states.append(state)
        if len(states) > STATES:  # the cheapest one stays, so that there is always a way on
            states = states[:: len(states) // STATES + 1]
    best = min(states, key=lambda state: state[1])
    return dict(zip(costs, best[2], strict=True))
