"""`twofold.compress.quantise.weights`: groups of 8 and 4 bits, and tables by row."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.compress.quantise.conftest import LAYERS, product

from twofold.compress.quantise.formula import Scheme, dequantise, quantise
from twofold.compress.quantise.soundness import agreement, load_graph, rows_of
from twofold.compress.quantise.weights import quantise_tables, quantise_weights, tables_of
from twofold.core.errors import ConfigError
from twofold.core.session import open_session


def lookup(table: np.ndarray, *, tied: bool = False) -> bytes:
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Gather", ["table", "x"], ["g" if tied else "y"], "lookup")]
    if tied:
        nodes += [
            helper.make_node("Transpose", ["table"], ["t"], "turn"),
            helper.make_node("MatMul", ["g", "t"], ["y"], "back"),
        ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [value("x", onnx.TensorProto.INT64, ["batch", "tokens"])],
        [value("y", onnx.TensorProto.FLOAT, ["batch", "tokens", None])],
        [numpy_helper.from_array(table.astype(np.float32), "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


TABLE = np.random.default_rng(0).standard_normal((80, 40)) * np.logspace(-2, 2, 80)[:, None]
ROWS = {"x": np.array([[0, 79, 3], [5, 5, 40]])}


@pytest.mark.parametrize(("bits", "granularity", "part"), [(8, "channel", 0.35), (4, "group", 0.3)])
def test_a_table_gives_its_rounded_rows(bits, granularity, part):
    content = lookup(TABLE)
    made = quantise_tables(load_graph(content), {"lookup": bits}).SerializeToString()
    expected = dequantise(quantise(TABLE.T, Scheme(bits=bits, granularity=granularity, group=32))).T
    np.testing.assert_allclose(
        rows_of(open_session(made, "a test"), ROWS), expected[ROWS["x"].ravel()], rtol=1e-4, atol=1e-6
    )
    assert len(made) < part * len(content) + 600


def test_a_table_that_is_multiplied_with_too_stays():
    model = load_graph(lookup(TABLE, tied=True))
    assert tables_of(model) == {}
    assert tables_of(load_graph(lookup(TABLE))) == {"lookup": "table"}
    assert tables_of(load_graph(lookup(TABLE[:4]))) == {}  # too small to matter


@pytest.mark.parametrize(("bits", "least"), [(4, 0.95), (8, 0.999)])
@pytest.mark.parametrize("block", [32, 64, 128])
def test_matrices_in_groups(fused, feeds, bits, least, block):
    made = quantise_weights(fused.content, bits=bits, block=block, table=0)
    nodes = [node for node in onnx.load_model_from_string(made).graph.node if node.op_type == "MatMulNBits"]
    assert len(nodes) == 6 * LAYERS
    told = {attribute.name: attribute.i for attribute in nodes[0].attribute}
    assert (told["bits"], told["block_size"]) == (bits, block)
    assert agreement(fused.content, made, feeds).worst > least


def test_groups_with_a_zero_of_their_own_and_float_activations():
    weights = np.random.default_rng(0).uniform(1, 2, (64, 16))
    feeds = [{"x": np.random.default_rng(1).random((8, 64), np.float32)}]
    likenesses = [
        agreement(product(weights), quantise_weights(product(weights), symmetric=one, activations="float"), feeds).mean
        for one in (True, False)
    ]
    assert likenesses[1] > 0.999
    with pytest.raises(ConfigError, match="no product"):
        quantise_weights(product(weights), exclude=["product0"])
    with pytest.raises(ConfigError, match="block = 48"):
        quantise_weights(product(weights), block=48)


def test_the_root_logger_is_left_as_it_was():
    program = (
        "import logging\n"
        "from twofold.compress.quantise.fusion import quiet\n"
        "with quiet():\n"
        "    import onnxruntime.quantization.matmul_nbits_quantizer\n"
        "    assert logging.root.handlers\n"
        "assert not logging.root.handlers and logging.root.level == logging.WARNING\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
