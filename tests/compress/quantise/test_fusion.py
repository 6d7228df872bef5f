"""`twofold.compress.quantise.fusion` on a tiny BERT."""

import onnx
import pytest
from tests.compress.quantise.conftest import HEADS, LAYERS, WIDTH, export, make_feeds

from twofold.compress.quantise.fusion import fuse
from twofold.compress.quantise.soundness import agreement


def test_every_layers_attention_fuses(encoder, fused, feeds):
    assert fused.attention == LAYERS
    assert fused.notes == ()
    kinds = [node.op_type for node in onnx.load_model_from_string(fused.content).graph.node]
    assert kinds.count("MultiHeadAttention") == LAYERS
    assert "Softmax" not in kinds
    assert agreement(encoder, fused.content, feeds).worst > 0.99999


def test_a_packed_one_has_its_products_inside(encoder):
    packed = fuse(encoder, HEADS, WIDTH, packed=True, feeds=make_feeds(1))
    kinds = [node.op_type for node in onnx.load_model_from_string(packed.content).graph.node]
    assert (packed.attention, kinds.count("Attention"), kinds.count("MatMul")) == (LAYERS, LAYERS, 3 * LAYERS)


def test_an_export_without_eager_attention_is_told():
    made = fuse(export("sdpa"), HEADS, WIDTH)
    if made.attention:
        pytest.skip("this exporter writes out fused attention as eager attention")
    assert "eager" in made.notes[0]


def test_a_layer_that_lost_heads_is_told_how_many_are_left():
    made = fuse(export(lost={0: [1]}), HEADS, WIDTH, feeds=make_feeds(1))
    counts = [
        next(one.i for one in node.attribute if one.name == "num_heads")
        for node in onnx.load_model_from_string(made.content).graph.node
        if node.op_type == "MultiHeadAttention"
    ]
    assert counts == [HEADS - 1, HEADS]
