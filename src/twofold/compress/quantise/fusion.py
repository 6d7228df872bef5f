"""`fuse`: a transformer's graph with fused attention, by onnxruntime's own optimiser, and how much of it fused."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import onnx

from twofold.compress.quantise.soundness import Feed, agreement, check_interface, import_contrib, load_graph
from twofold.core.errors import ConfigError

__all__ = ["EXACT", "Family", "Fused", "fuse", "quiet"]

Family = Literal["bert", "gpt2", "llama", "t5"]
ATTENTION = ("Attention", "MultiHeadAttention", "GroupQueryAttention")
EXACT = 0.9999
"""The least cosine of a step that only rounds differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A graph after fusion."""

    content: bytes
    attention: int
    """How many layers' attention became one node; 0 where the optimiser did not know its pattern."""
    nodes: Mapping[str, int]
    """How many fused nodes of each kind there are."""
    notes: tuple[str, ...]
    """What a reader of the report should know, a sentence each."""


def fuse(
    content: bytes,
    heads: int,
    width: int,
    *,
    family: Family = "bert",
    packed: bool = False,
    feeds: Sequence[Feed] = (),
) -> Fused:
    """Fuse attention, GELU, and layer norms with what is before them.

    Args:
        content: the ONNX file, exported with eager attention: of other exports, attention does not fuse.
        heads: attention heads of a whole layer; one that lost some is known by the width of its queries.
        width: of the hidden states.
        family: whose patterns are looked for.
        packed: whether queries, keys and values come from one product inside the attention node. Static int8 needs
            them as products of their own, since onnxruntime has no static int8 form of a packed one.
        feeds: batches to compare with the graph as it was; empty compares nothing.

    Raises:
        ConfigError: it is no sound graph, or the fused one answers otherwise.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions  # noqa: PLC0415  slow to import
    from onnxruntime.transformers.optimizer import optimize_model  # noqa: PLC0415

    model = load_graph(content)
    kind = {"llama": "qwen3"}.get(family, family)
    options = FusionOptions(kind)
    options.use_multi_head_attention = not packed
    options.enable_embed_layer_norm = False  # the embedding table stays a Gather, which can be quantised by row
    options.use_raw_attention_mask(True)  # lengths instead would want the padding on one side
    with quiet():
        made = optimize_model(
            model, kind, num_heads=heads, hidden_size=width, optimization_options=options, opt_level=0, use_gpu=False
        )
        counts = {name: count for name, count in made.get_fused_operator_statistics().items() if count}
    attention = sum(counts.get(name, 0) for name in ATTENTION)
    _count_heads(made.model, width // max(heads, 1))
    import_contrib(made.model)
    check_interface(content, made.model)
    fused: bytes = made.model.SerializeToString()
    if feeds and (found := agreement(content, fused, feeds)).worst < EXACT:
        raise ConfigError(
            f"fusing changed an answer (cosine {found.worst:.5f}); use the graph without fusion, or export it anew."
        )
    notes = () if attention else ("attention did not fuse; export the model with eager attention.",)
    return Fused(content=fused, attention=attention, nodes=counts, notes=notes)


def _count_heads(model: onnx.ModelProto, size: int) -> None:
    """Say to each attention how many heads of a size it has: the optimiser writes the same number everywhere."""
    makers = {output: node for node in model.graph.node for output in node.output}
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Attention", "MultiHeadAttention"):
            continue
        packed = node.op_type == "Attention"
        product = node if packed else makers.get(node.input[0])
        while product is not None and product.op_type == "Add":  # the queries' bias
            product = next((makers[name] for name in product.input if name in makers), None)
        weights = [shapes[name] for name in product.input if len(shapes.get(name, ())) == 2] if product else []
        if not weights:
            continue
        found = weights[0][1] // size // (3 if packed else 1)
        next(one for one in node.attribute if one.name == "num_heads").i = found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep onnxruntime's Python tools from logging through the root logger, and from setting it up when imported."""
    root = logging.root
    before, handlers, level = root.manager.disable, list(root.handlers), root.level
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.handlers[:], root.level = handlers, level
