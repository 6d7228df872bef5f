"""`twofold.compress.quantise.graph` on a tiny BERT and on products made by hand."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.compress.quantise.conftest import LAYERS, make_feeds, product

from twofold.compress.quantise.graph import Options, quantise_graph, saturates
from twofold.compress.quantise.soundness import rows_of
from twofold.core.errors import ConfigError
from twofold.core.session import open_session

MATRICES = 6 * LAYERS


def kinds(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(content).graph.node]


def integers(content: bytes) -> list[np.ndarray]:
    tensors = onnx.load_model_from_string(content).graph.initializer
    return [
        numpy_helper.to_array(tensor)
        for tensor in tensors
        if tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8) and len(tensor.dims) == 2
    ]


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_static_int8_is_near_its_parent_and_equal_in_every_batch(fused, feeds, method):
    made = quantise_graph(fused.content, Options(method=method, table="float", floor=0.9), feeds)
    assert kinds(made.content).count("QuantizeLinear") >= 3 * LAYERS
    assert len(integers(made.content)) == MATRICES
    assert made.agreement.rows == 48
    assert 0.95 < made.agreement.worst <= made.agreement.mean < 1
    assert made.steadiness == pytest.approx(1, abs=1e-5)


def test_dynamic_int8_depends_on_the_batch_and_says_so(fused):
    feeds = make_feeds(2, size=33)
    made = quantise_graph(fused.content, Options(mode="dynamic", floor=0.5), feeds)
    assert kinds(made.content).count("MatMulInteger") == MATRICES
    assert made.steadiness < 0.99999
    assert any("depends on its batch" in note for note in made.notes)


def test_the_residual_is_not_rounded(fused, feeds):
    model = onnx.load_model_from_string(quantise_graph(fused.content, Options(), feeds).content)
    rounded = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    readers = {node.op_type for node in model.graph.node if set(node.input) & rounded}
    assert readers == {"MatMul"}


def test_rows_of_any_batch_size_are_equal(fused, feeds):
    session = open_session(quantise_graph(fused.content, Options(), feeds).content, "a test")
    ids = np.random.default_rng(5).integers(1, 90, (33, 9))
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    whole = rows_of(session, feed)
    for size in (1, 2, 31, 32):
        part = rows_of(session, {name: values[:size] for name, values in feed.items()})
        np.testing.assert_allclose(part, whole[:size], atol=1e-5)


def test_reduced_range_keeps_weights_within_seven_bits(fused, feeds):
    reduced = quantise_graph(fused.content, Options(reduced="yes", table="float", granularity="tensor"), feeds)
    full = quantise_graph(fused.content, Options(reduced="no", table="float", granularity="tensor"), feeds)
    assert reduced.reduced
    assert not full.reduced
    assert max(np.abs(one.astype(int)).max() for one in integers(reduced.content)) == 64
    assert max(np.abs(one.astype(int)).max() for one in integers(full.content)) == 127


def test_large_products_do_not_saturate():
    feeds = [{"x": np.full((8, 64), 1.0, np.float32)}, {"x": np.random.default_rng(0).random((8, 64), np.float32)}]
    content = product(np.full((64, 16), 1.0))
    made = quantise_graph(content, Options(), feeds)
    assert made.agreement.worst > 0.999
    np.testing.assert_allclose(rows_of(open_session(made.content, "a test"), feeds[0]), 64, rtol=0.02)


def flags(tmp_path, text):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor : 0\nflags\t\t: fpu {text} sse\n")
    return file


def test_the_processor_is_asked(tmp_path):
    assert saturates(flags(tmp_path, "avx2 fma"), "x86_64") is True
    assert saturates(flags(tmp_path, "avx2 avx512_vnni"), "x86_64") is False
    assert saturates(flags(tmp_path, "avx2 avx_vnni"), "AMD64") is False
    assert saturates(tmp_path / "none", "x86_64") is None
    assert saturates(tmp_path / "none", "aarch64") is False


def test_it_is_said_what_the_processor_wants(monkeypatch):
    monkeypatch.setattr("twofold.compress.quantise.graph.saturates", lambda: True)
    feeds = [{"x": np.random.default_rng(0).standard_normal((16, 32)).astype(np.float32)}]
    made = quantise_graph(product(np.random.default_rng(1).standard_normal((32, 32))), Options(), feeds)
    assert made.reduced
    assert any("no VNNI" in note for note in made.notes)
    monkeypatch.setattr("twofold.compress.quantise.graph.saturates", lambda: False)
    assert not quantise_graph(product(np.eye(32)), Options(), feeds).reduced
    affine = quantise_graph(product(np.eye(32)), Options(symmetric=False), feeds)
    assert not affine.reduced


def test_by_group_each_block_has_its_scale(fused, feeds):
    made = quantise_graph(fused.content, Options(granularity="group", block=32, table="float"), feeds)
    assert kinds(made.content).count("MatMulNBits") == MATRICES
    assert made.agreement.worst > 0.999
    assert made.steadiness == pytest.approx(1, abs=1e-5)


def test_the_better_of_tensor_and_channel_is_taken(fused, feeds):
    made = {
        one: quantise_graph(fused.content, Options(granularity=one), feeds) for one in ("tensor", "channel", "best")
    }
    means = {name: one.agreement.mean for name, one in made.items()}
    assert means["best"] == max(means["tensor"], means["channel"])
    assert made["best"].granularity == max(("tensor", "channel"), key=means.__getitem__)


def test_a_worse_channel_is_noticed(monkeypatch, fused, feeds):
    from twofold.compress.quantise import graph

    honest = graph.agreement
    calls = []

    def slanted(*arguments, **options):
        found = honest(*arguments, **options)
        calls.append(found)
        return graph.Agreement(worst=found.worst, mean=found.mean - 0.01 * (len(calls) == 2), rows=found.rows)

    monkeypatch.setattr(graph, "agreement", slanted)
    made = quantise_graph(fused.content, Options(), feeds)
    assert made.granularity == "tensor"
    assert any("by channel are further" in note for note in made.notes)


def test_the_worst_row_decides():
    weights = np.eye(32)
    usual = np.random.default_rng(0).standard_normal((40, 32)).astype(np.float32)
    usual[0] = 0.01  # beside values a hundred times as large it is rounded to little
    feeds = [{"x": usual}]
    made = quantise_graph(product(weights), Options(floor=-1), feeds)
    assert made.agreement.mean > 0.97
    assert made.agreement.worst < 0.97
    with pytest.raises(ConfigError, match="the worst of 40 rows"):
        quantise_graph(product(weights), Options(floor=0.97), feeds)


def test_nodes_left_out_stay_float(fused, feeds):
    names = [node.name for node in onnx.load_model_from_string(fused.content).graph.node if node.op_type == "MatMul"]
    made = quantise_graph(fused.content, Options(exclude=tuple(names[:2]), table="float"), feeds)
    assert len(integers(made.content)) == MATRICES - 2
    with pytest.raises(ConfigError, match="'nothing'"):
        quantise_graph(fused.content, Options(exclude=("nothing",)), feeds)


def test_tables_shrink_and_the_graph_with_them(fused, feeds):
    sizes = {
        one: len(quantise_graph(fused.content, Options(table=one), feeds).content) for one in ("float", "int8", "int4")
    }
    assert sizes["float"] > sizes["int8"] > sizes["int4"]


def test_layers_have_the_bits_that_they_are_given(fused, feeds):
    names = [node.name for node in onnx.load_model_from_string(fused.content).graph.node if node.op_type == "MatMul"]
    bits = {names[0]: 4, names[1]: 32}
    made = quantise_graph(fused.content, Options(floor=0.5, table="float"), feeds, bits)
    assert kinds(made.content).count("MatMulNBits") == 1
    assert sum(one.dtype == np.int8 for one in integers(made.content)) == MATRICES - 2


def test_no_text_is_refused_and_one_is_told(fused):
    for feeds in ([], [{"input_ids": np.zeros((0, 3), np.int64), "attention_mask": np.zeros((0, 3), np.int64)}]):
        with pytest.raises(ConfigError, match="there are none"):
            quantise_graph(fused.content, Options(), feeds)
    one = {name: values[:1] for name, values in make_feeds(1)[0].items()}
    made = quantise_graph(fused.content, Options(floor=0), [one])
    assert any("from 1 text only" in note for note in made.notes)


def test_what_is_quantised_already_is_refused(fused, feeds):
    made = quantise_graph(fused.content, Options(), feeds)
    with pytest.raises(ConfigError, match="quantised already"):
        quantise_graph(made.content, Options(), feeds)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_damaged_weights_are_refused(bad):
    weights = np.ones((32, 32))
    weights[3, 4] = bad
    with pytest.raises(ConfigError, match="'w0'"):
        quantise_graph(product(weights), Options(), [{"x": np.ones((9, 32), np.float32)}])


def test_options_out_of_range_are_refused():
    for options in ({"smooth": 1.5}, {"block": 24}, {"block": 8}):
        with pytest.raises(ConfigError):
            Options(**options)


def test_single_numbers_are_held_to_their_spread():
    weights = np.random.default_rng(0).standard_normal((32, 1))
    feeds = [{"x": np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)}]
    made = quantise_graph(product(weights), Options(granularity="tensor"), feeds)
    assert made.agreement.numbers
    assert 0.5 < made.agreement.worst < 1
    with pytest.raises(ConfigError, match=r"likeness 0\.9\d+ with its parent, below the floor 1\.0"):
        quantise_graph(product(weights), Options(granularity="tensor", floor_numbers=1.0), feeds)


@pytest.mark.skipif(saturates() is not True, reason="this processor's int8 products do not saturate")
def test_full_range_saturates_where_there_is_no_vnni():
    # Of each pair of products, 255 · 127 + 255 · 127 is twice what 16 bits hold.
    feeds = [{"x": np.full((8, 64), 1.0, np.float32)}, {"x": np.zeros((8, 64), np.float32)}]
    content = product(np.full((64, 16), 1.0))
    full = quantise_graph(content, Options(reduced="no", floor=-1.0, floor_numbers=-9.0), feeds)
    reduced = quantise_graph(content, Options(reduced="yes"), feeds)
    wrong = rows_of(open_session(full.content, "a test"), feeds[0])
    right = rows_of(open_session(reduced.content, "a test"), feeds[0])
    np.testing.assert_allclose(right, 64, rtol=0.02)
    assert np.abs(wrong - 64).max() > 5
