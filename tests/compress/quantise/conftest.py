"""A tiny BERT as an ONNX graph with its pooling inside, batches for it, and graphs made by hand."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from transformers import BertConfig, BertModel

from twofold.compress.prune import drop_heads
from twofold.compress.quantise.fusion import Fused, fuse
from twofold.train.silence import silent

WIDTH, HEADS, LAYERS, WORDS = 32, 2, 2, 100


class Pooled(torch.nn.Module):
    def __init__(self, attention: str) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=WORDS,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=64,
            max_position_embeddings=80,
            attn_implementation=attention,
        )
        self.model = BertModel(config, add_pooling_layer=False)
        for name, weight in self.model.named_parameters():
            if weight.ndim > 1:
                weight.data *= 8  # so that neighbours matter
            if name.endswith("LayerNorm.weight"):
                weight.data[3] = 12  # an outlier, as trained models have

    def forward(self, input_ids, attention_mask):
        states = self.model(input_ids, attention_mask).last_hidden_state
        weights = attention_mask[..., None].to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(pooled, dim=-1)


def export(attention: str = "eager", *, lost: Mapping[int, list[int]] | None = None) -> bytes:
    """The graph of it; `lost` are heads that are dropped, by layer."""
    file = io.BytesIO()
    ids = torch.arange(1, 13).reshape(2, 6)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    with torch.random.fork_rng(devices=[]), silent(), torch.no_grad():
        torch.manual_seed(0)
        model = Pooled(attention).eval()
        if lost:
            drop_heads(model.model, lost)
        torch.onnx.export(
            model,
            (ids, mask),
            file,
            input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"],
            dynamic_axes={
                "input_ids": {0: "batch", 1: "tokens"},
                "attention_mask": {0: "batch", 1: "tokens"},
                "sentence_embedding": {0: "batch"},
            },
            opset_version=17,
            dynamo=False,
        )
    return file.getvalue()


@pytest.fixture(scope="session")
def encoder() -> bytes:
    return export()


@pytest.fixture(scope="session")
def fused(encoder) -> Fused:
    return fuse(encoder, HEADS, WIDTH, feeds=make_feeds(1))


def make_feeds(count: int, size: int = 16, seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    feeds = []
    for _ in range(count):
        lengths = rng.integers(3, 12, size)
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        feeds.append({"input_ids": rng.integers(1, WORDS, mask.shape) * mask, "attention_mask": mask})
    return feeds


@pytest.fixture(scope="session")
def feeds() -> list[dict[str, np.ndarray]]:
    return make_feeds(3)


def product(*weights: np.ndarray, axes: Sequence[str | int] = ("batch",)) -> bytes:
    """A graph of products one after another, from `x` [batch, k] to `y`."""
    nodes, tensors, name = [], [], "x"
    for place, weight in enumerate(weights):
        output = "y" if place == len(weights) - 1 else f"h{place}"
        nodes.append(helper.make_node("MatMul", [name, f"w{place}"], [output], f"product{place}"))
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"w{place}"))
        name = output
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [axes[0], weights[0].shape[0]])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [axes[0], weights[-1].shape[1]])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
