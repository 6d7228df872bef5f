"""`twofold.compress.quantise.smooth`: exact in float, and nearer in int8."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from twofold.compress.quantise.graph import Options, quantise_graph
from twofold.compress.quantise.smooth import smooth, smoothing_scales
from twofold.compress.quantise.soundness import agreement
from twofold.core.errors import ConfigError


def normed(width: int = 32, *, residual: bool) -> bytes:
    """A layer norm with one loud channel, a product behind it, and perhaps a residual."""
    rng = np.random.default_rng(0)
    gamma = np.ones(width, np.float32)
    gamma[5] = 300
    weights = rng.standard_normal((width, width)).astype(np.float32)
    weights[5] /= 300
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["n"], "norm"),
        helper.make_node("MatMul", ["n", "w"], ["m" if residual else "y"], "product"),
    ]
    if residual:
        nodes += [
            helper.make_node("Mul", ["n", "quiet"], ["q"], "hush"),
            helper.make_node("Add", ["m", "q"], ["y"], "sum"),
        ]
    graph = helper.make_graph(
        nodes,
        "normed",
        [value("x", onnx.TensorProto.FLOAT, ["batch", width])],
        [value("y", onnx.TensorProto.FLOAT, ["batch", width])],
        [
            numpy_helper.from_array(gamma, "gamma"),
            numpy_helper.from_array(rng.standard_normal(width).astype(np.float32), "beta"),
            numpy_helper.from_array(weights, "w"),
            *([numpy_helper.from_array(1 / gamma, "quiet")] if residual else []),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


FEEDS = [{"x": np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)}]


def test_scales_are_those_of_the_paper():
    scales = smoothing_scales(np.array([16.0, 1.0, 0.0, 4.0]), np.array([1.0, 4.0, 1.0, 0.0]), 0.5)
    assert scales.tolist() == [4.0, 0.5, 1.0, 1.0]
    assert smoothing_scales(np.array([16.0]), np.array([2.0]), 1.0).tolist() == [16.0]


@pytest.mark.parametrize(("residual", "nodes"), [(False, 2), (True, 5)])
def test_answers_stay_and_int8_comes_nearer(residual, nodes):
    content = normed(residual=residual)
    made = smooth(content, FEEDS)
    assert agreement(content, made, FEEDS).worst > 0.999999
    assert len(onnx.load_model_from_string(made).graph.node) == nodes  # a node more only where others read the norm
    plain = quantise_graph(content, Options(floor=-1, granularity="tensor"), FEEDS).agreement
    better = quantise_graph(content, Options(floor=-1, granularity="tensor", smooth=0.5), FEEDS).agreement
    assert better.worst > plain.worst
    assert 1 - better.mean < (1 - plain.mean) / 2


def test_a_transformer_stays_exact(encoder, fused, feeds):
    for content in (encoder, fused.content):
        made = smooth(content, feeds)
        assert made != content
        assert agreement(content, made, feeds).worst > 0.99999


def test_it_needs_texts():
    with pytest.raises(ConfigError, match="there are none"):
        smooth(normed(residual=False), [])
