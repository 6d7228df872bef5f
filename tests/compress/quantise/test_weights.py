"""`twofold.compress.quantise.weights`: groups of 8 and 4 bits, and tables by row."""

import subprocess
import sys
from typing import Literal

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
    made = quantise_weights(product(weights), zero="whole", activations="float")
    assert agreement(product(weights), made, feeds).mean > 0.999
    with pytest.raises(ConfigError, match="no product"):
        quantise_weights(product(weights), others={"product0": 32})
    with pytest.raises(ConfigError, match=r"no product 'produce0'.*product0"):
        quantise_weights(product(weights), others={"produce0": 8})
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


@pytest.mark.parametrize("rows", [64, 96, 1_056])
def test_weights_that_had_4_bits_with_a_smallest_value_come_out_as_they_were(rows):
    """As GGUF's Q4_1 has them; a zero point that is a whole number of levels moves them."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 16, (rows // 32, 32, 40))
    levels[:, 0], levels[:, 1] = 0, 15
    scales, least = rng.uniform(0.5, 2, (rows // 32, 1, 40)), rng.uniform(-20, -5, (rows // 32, 1, 40))
    weights = (levels * scales + least).reshape(rows, 40).astype(np.float32)
    content = product(weights)
    x = rng.standard_normal((5, rows)).astype(np.float32)
    apart = {}
    zeros: tuple[Literal["whole", "exact"], ...] = ("whole", "exact")
    for zero in zeros:
        made = quantise_weights(content, bits=4, block=32, zero=zero, activations="float", table=0)
        found = open_session(made, "the test's").run(None, {"x": x})[0]
        apart[zero] = np.abs(found - x @ weights).max() / np.abs(x @ weights).max()
    assert apart["exact"] < 0.005
    assert apart["whole"] > 5 * apart["exact"]
