"""`smooth`: outliers of activations moved into the weights behind them, exact in float (SmoothQuant)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from twofold.compress.quantise.calibration import watch
from twofold.compress.quantise.soundness import Feed, check_interface, load_graph, weight_of
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats

__all__ = ["smooth", "smoothing_scales"]

NORMS = {"LayerNormalization": (1, 2), "SkipLayerNormalization": (2, 3), "SimplifiedLayerNormalization": (1,)}
"""Where the scale and the bias of a layer norm are among its inputs."""


def smoothing_scales(activations: Floats, weights: Floats, alpha: float) -> Floats:
    """Return what each channel of the activations is divided by, and each row of the weights multiplied with.

    `s_j = max |X_j|^alpha / max |W_j|^(1 - alpha)`, and 1 for a channel that is always 0 on one side (Xiao et al.,
    "SmoothQuant", 2023, equation 4).

    Args:
        activations: the largest absolute value of each channel, [d].
        weights: the same for each row of the weights, [d].
        alpha: how much of the difficulty goes from the activations to the weights.

    >>> smoothing_scales(np.array([16.0, 1.0]), np.array([1.0, 1.0]), 0.5).tolist()
    [4.0, 1.0]
    """
    usable = (activations > 0) & (weights > 0)
    scales = np.ones(len(activations), np.float32)
    scales[usable] = activations[usable] ** alpha / weights[usable] ** (1 - alpha)
    return scales


def smooth(content: bytes, feeds: Sequence[Feed], alpha: float = 0.5, *, threads: int = 1) -> bytes:
    """Return a graph with the same answers whose products after layer norms have fewer outliers in what they take.

    Where only those products read the norm, its scale and bias are divided; where others do too, as the residual of
    BERT, what the products take is divided by a node of its own.

    Args:
        content: the ONNX file of full precision, fused or not.
        feeds: batches to see the activations of.
        alpha: see `smoothing_scales`.
        threads: for a run.

    Raises:
        ConfigError: there are no batches.
    """
    if not feeds:
        raise ConfigError("smoothing needs texts to see activations of, and there are none; give some.")
    model = load_graph(content)
    groups = _groups(model)
    peaks: dict[str, npt.NDArray[np.float32]] = {}

    def look(name: str, values: npt.NDArray[np.float32]) -> None:
        peak = np.abs(values).reshape(-1, values.shape[-1]).max(0)
        peaks[name] = np.maximum(peaks[name], peak) if name in peaks else peak

    watch(model, list(groups), feeds, look, threads=threads)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = weight_of(model)
    for place, (name, nodes) in enumerate(groups.items()):
        matrices = [numpy_helper.to_array(tensors[weights[node.name]]) for node in nodes]
        rows = np.max([np.abs(matrix).max(1) for matrix in matrices], axis=0)
        scales = smoothing_scales(peaks[name], rows, alpha)
        for node, matrix in zip(nodes, matrices, strict=True):
            node.input[1] = _keep(model, f"{node.name}_smooth_weight", matrix * scales[:, None])
        _divide(model, name, nodes, scales, place)
    _forget_unused(model)
    check_interface(content, model)
    return bytes(model.SerializeToString())


def _groups(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the products that read the output of a norm, by its name."""
    weighted = weight_of(model)
    makers = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        maker = makers.get(node.input[0]) if node.op_type in ("MatMul", "Attention") and node.name in weighted else None
        if maker is not None and _norm_weights(model, maker):
            found.setdefault(node.input[0], []).append(node)
    return found


def _norm_weights(model: onnx.ModelProto, node: onnx.NodeProto) -> list[int]:
    """Return which inputs of a node hold the scale and the bias of a norm; none where it is no norm."""
    names = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 1}
    if node.op_type in NORMS:
        return [place for place in NORMS[node.op_type] if len(node.input) > place and node.input[place] in names]
    if node.op_type == "Mul":  # RMSNorm written out ends in a product with its scale
        return [place for place in (0, 1) if node.input[place] in names]
    return []


def _divide(model: onnx.ModelProto, name: str, nodes: Sequence[onnx.NodeProto], scales: Floats, place: int) -> None:
    """Divide what products take: in the norm, if nothing else reads it, else by a node before the products."""
    maker = next(node for node in model.graph.node if name in node.output)
    readers = [node.name for node in model.graph.node for read in node.input if read == name]
    outputs = {value.name for value in model.graph.output}
    if name not in outputs and sorted(readers) == sorted(node.name for node in nodes):
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for held in _norm_weights(model, maker):
            divided = numpy_helper.to_array(tensors[maker.input[held]]) / scales
            maker.input[held] = _keep(model, f"{maker.name}_smooth_{held}", divided)
        return
    factor = _keep(model, f"smooth_{place}", 1 / scales)
    product = helper.make_node("Mul", [name, factor], [f"{name}_smooth"], f"smooth_{place}")
    for node in nodes:
        node.input[0] = product.output[0]
    model.graph.node.insert(list(model.graph.node).index(maker) + 1, product)


def _keep(model: onnx.ModelProto, name: str, values: npt.NDArray[np.floating[Any]]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
    return name


def _forget_unused(model: onnx.ModelProto) -> None:
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
