"""`quantise_graph`: a whole graph in int8, dynamic or static, by `onnxruntime.quantization`, measured by its parent."""

import platform
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import onnx

from twofold.compress.quantise.calibration import FEW, Method, ranges, rows_in
from twofold.compress.quantise.fusion import quiet
from twofold.compress.quantise.smooth import smooth
from twofold.compress.quantise.soundness import (
    Agreement,
    Feed,
    agreement,
    check_interface,
    load_graph,
    steadiness,
    weight_of,
)
from twofold.compress.quantise.weights import quantise_matrices, quantise_tables, tables_of
from twofold.core.errors import ConfigError

__all__ = ["Options", "QuantisedGraph", "int8_graph", "quantise_graph", "saturates"]

STATIC = ("MatMul", "Gemm", "Conv")
DYNAMIC = ("MatMul", "Gemm", "Attention")
STEADY = 0.99999
"""A text's vector alone and in a batch are called equal from this cosine on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a graph is made int8."""

    mode: Literal["static", "dynamic"] = "static"
    """Whether ranges of activations are fixed from calibration texts, or found anew in each batch, on which the vectors
    depend then."""
    granularity: Literal["best", "tensor", "channel", "group"] = "best"
    """What shares a scale in a matrix: all, a column, or `block` rows of a column; "best" takes of tensor and channel
    the one with the smaller measured error. By group, activations are rounded by row and block, and `mode` says
    nothing."""
    symmetric: bool = True
    """Whether weights have the same range on both sides of 0."""
    method: Method = "minmax"
    """How calibration finds ranges."""
    reduced: Literal["auto", "yes", "no"] = "auto"
    """Whether symmetric weights use 7 of the 8 bits, so that processors without VNNI do not saturate; "auto" looks at
    this one."""
    table: Literal["float", "int8", "int4"] = "int8"
    """What embedding tables become."""
    smooth: float = 0.0
    """How much of the activations' outliers goes into the weights first, 0 to 1; 0 leaves them."""
    block: int = 64
    """Rows of a group: a power of 2, from 16."""
    exclude: tuple[str, ...] = ()
    """Names of nodes that stay as they are."""
    floor: float = 0.97
    """The least cosine with the parent that the worst row may have; below, the graph is refused."""
    floor_numbers: float = 0.5
    """The same where an answer is one number, as a ranker's: how far it may be off, in parts of the numbers' standard
    deviation, is 1 less this. One of many may be, and their order is still kept."""
    threads: int = 1
    """For calibration and comparison."""

    def __post_init__(self) -> None:
        if not 0 <= self.smooth <= 1:
            raise ConfigError(f"smooth = {self.smooth} is not from 0 to 1; change it.")
        if self.block < 16 or self.block & (self.block - 1):
            raise ConfigError(f"block = {self.block} is no power of 2 from 16 on; change it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedGraph:
    """What `quantise_graph` made."""

    content: bytes
    granularity: str
    """What was taken: tensor, channel or group."""
    reduced: bool
    """Whether weights use 7 bits."""
    agreement: Agreement
    """With the parent, on the given batches."""
    steadiness: float | None
    """See `soundness.steadiness`; 1 where a vector does not depend on the batch. None where answers are by token."""
    notes: tuple[str, ...]
    """What a reader of the report should know, a sentence each."""


def saturates(flags: Path = Path("/proc/cpuinfo"), machine: str = "") -> bool | None:
    """Return whether this processor's int8 products can saturate; None where it does not tell.

    On x86 without VNNI, two products of unsigned and signed bytes are summed in 16 bits, which 8-bit weights overflow.
    """
    if (machine or platform.machine()).lower() not in ("x86_64", "amd64", "i686", "x86"):
        return False
    try:
        told = flags.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = [line for line in told.splitlines() if line.startswith("flags")]
    return not any("vnni" in flag for flag in lines[0].split()) if lines else None


def quantise_graph(
    content: bytes, options: Options, feeds: Sequence[Feed], bits: Mapping[str, int] = MappingProxyType({})
) -> QuantisedGraph:
    """Make a graph int8, or of the bits that each layer is given, and compare it with what it was.

    Args:
        content: the ONNX file of full precision; after `fuse`, where it is a transformer.
        options: how.
        feeds: batches to calibrate with and to compare by, some hundred rows in all.
        bits: of some layers, as `adaptive.choose_bits` gives them: 4, 8, or 32 to leave one as it is.

    Raises:
        ConfigError: the graph cannot be quantised, there are no batches, or the worst row falls below the floor.
    """
    parent = load_graph(content)
    if not rows_in(feeds):
        raise ConfigError(
            "quantisation needs texts to calibrate with and to compare by, and there are none; give some."
        )
    reduced, notes = _reduced(options)
    if rows_in(feeds) < FEW:
        notes.append(
            f"ranges come from {rows_in(feeds)} text{'s' * (rows_in(feeds) > 1)} only, which say little; give more."
        )
    source = content
    if options.smooth:
        source = smooth(content, feeds, options.smooth, threads=options.threads)
    spans = _spans(source, options, feeds)
    made: dict[str, bytes] = {}
    for granularity in ("tensor", "channel") if options.granularity == "best" else (options.granularity,):
        model = _made(load_graph(source), options, spans, bits, granularity=granularity, reduced=reduced)
        check_interface(parent, model)
        made[granularity] = model.SerializeToString()
    found = {name: agreement(content, one, feeds, threads=options.threads) for name, one in made.items()}
    best = max(found, key=lambda name: found[name].mean)
    if best == "tensor" and "channel" in found:
        notes.append(
            f"scales by channel are further from the parent (mean cosine {found['channel'].mean:.5f}) than one scale a "
            f"matrix ({found['tensor'].mean:.5f}), which is taken."
        )
    _check_floor(found[best], options)
    steady = _steadiness(made[best], feeds, notes, options)
    return QuantisedGraph(
        content=made[best],
        granularity=best,
        reduced=reduced and best != "group",
        agreement=found[best],
        steadiness=steady,
        notes=tuple(notes),
    )


def _check_floor(found: Agreement, options: Options) -> None:
    floor = options.floor_numbers if found.numbers else options.floor
    if found.worst < floor:
        what = "likeness" if found.numbers else "cosine"
        raise ConfigError(
            f"the worst of {found.rows} rows has {what} {found.worst:.4f} with its parent, below the floor "
            f"{floor}; leave sensitive layers out with `exclude`, or use another calibration."
        )


def _made(
    model: onnx.ModelProto,
    options: Options,
    spans: Mapping[str, tuple[float, float]],
    bits: Mapping[str, int],
    *,
    granularity: str,
    reduced: bool,
) -> onnx.ModelProto:
    """Return the graph with its tables, its layers of 4 bits, and the others."""
    known = {node.name for node in model.graph.node}
    if unknown := [name for name in (*options.exclude, *bits) if name not in known]:
        raise ConfigError(f"{unknown[0]!r} is named among the layers and is no node of the graph; remove it.")
    products = _chosen(model, (*STATIC, *DYNAMIC), ())
    left = {name for name, count in bits.items() if count == 32} | set(options.exclude)
    few = {name for name in products - left if bits.get(name) == 4}
    default = {"float": 0, "int8": 8, "int4": 4}[options.table]
    model = quantise_tables(model, {name: bits.get(name, default) for name in tables_of(model)})
    if few:
        model = quantise_matrices(model, bits=4, block=options.block, exclude=products - few)
    if granularity == "group":
        return quantise_matrices(model, bits=8, block=options.block, exclude=left | few)
    if products - left - few:
        model = int8_graph(model, options, spans, channel=granularity == "channel", reduced=reduced, exclude=left | few)
    return model


def _reduced(options: Options) -> tuple[bool, list[str]]:
    """Return whether weights get 7 bits, and what to say about it."""
    if not options.symmetric or options.granularity == "group":
        return False, []  # unsigned weights, and weights in groups, are summed in 32 bits
    if options.reduced != "auto":
        return options.reduced == "yes", []
    told = saturates()
    if told is None:
        return True, ["the processor does not tell whether it has VNNI, so weights use 7 of 8 bits, which is safe."]
    if told:
        return True, ["this processor has no VNNI, so weights use 7 of 8 bits, lest int8 products saturate."]
    return False, []


def _steadiness(content: bytes, feeds: Sequence[Feed], notes: list[str], options: Options) -> float | None:
    largest = max(feeds, key=lambda feed: len(next(iter(feed.values()))))
    steady = steadiness(content, largest, threads=options.threads)
    if steady is not None and steady < STEADY:
        notes.append(
            f"a text's vector depends on its batch (cosine down to {steady:.4f} with the vector alone); "
            "static quantisation does not."
        )
    return steady


def _spans(content: bytes, options: Options, feeds: Sequence[Feed]) -> dict[str, tuple[float, float]]:
    """Return the ranges that static quantisation needs: of what is multiplied, and of what convolutions give."""
    if options.mode == "dynamic" or options.granularity == "group":
        return {}
    model = load_graph(content)
    nodes = [node for node in model.graph.node if node.name in _chosen(model, STATIC, ())]
    tensors = [node.input[0] for node in nodes] + [node.output[0] for node in nodes if node.op_type == "Conv"]
    return ranges(model, tensors, feeds, options.method, threads=options.threads)


def _chosen(model: onnx.ModelProto, kinds: Sequence[str], exclude: Collection[str]) -> set[str]:
    """Return the names of the nodes that have weights and shall be quantised."""
    weighted = weight_of(model)
    return {n.name for n in model.graph.node if n.name in weighted and n.op_type in kinds and n.name not in exclude}


def int8_graph(
    model: onnx.ModelProto,
    options: Options,
    spans: Mapping[str, tuple[float, float]],
    *,
    channel: bool,
    reduced: bool,
    exclude: Collection[str] = (),
) -> onnx.ModelProto:
    """Return the graph with its products in int8: static where ranges of activations are given, else dynamic."""
    from onnxruntime.quantization import (  # noqa: PLC0415  slow to import
        CalibrationMethod,
        QDQQuantizer,
        QuantType,
        quantize_dynamic,
    )
    from onnxruntime.quantization.calibrate import TensorData, TensorsData  # noqa: PLC0415

    static = options.mode == "static"
    chosen = sorted(_chosen(model, STATIC if static else DYNAMIC, exclude))
    if not chosen:
        raise ConfigError("the graph has no product with fixed weights left to quantise; leave less out.")
    weight_type = QuantType.QInt8 if options.symmetric else QuantType.QUInt8
    extra: dict[str, Any] = {
        "MatMulConstBOnly": True,
        "WeightSymmetric": options.symmetric,
        "DefaultTensorType": onnx.TensorProto.FLOAT,  # shapes are unknown behind onnxruntime's own operators
        "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],  # what follows is float
    }
    with quiet():
        if static:
            _tell_types(model, list(spans))
            limits = {
                name: TensorData(lowest=np.float32(low), highest=np.float32(high))
                for name, (low, high) in spans.items()
            }
            quantizer = QDQQuantizer(
                model,
                channel,
                reduced,
                weight_type,
                QuantType.QUInt8,
                TensorsData(CalibrationMethod.MinMax, limits),
                chosen,
                [],
                list(STATIC),
                extra,
            )
            quantizer.quantize_model()
            made: onnx.ModelProto = quantizer.model.model
            return _spare_others(made, chosen)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            quantize_dynamic(
                model,
                path,
                op_types_to_quantize=list(DYNAMIC),
                per_channel=channel,
                reduce_range=reduced,
                weight_type=weight_type,
                nodes_to_quantize=chosen,
                extra_options=extra,
            )
            return onnx.load(path)


def _tell_types(model: onnx.ModelProto, tensors: Sequence[str]) -> None:
    """Say that tensors are floats: what is behind onnxruntime's own operators has no known type, and would be left."""
    known = {value.name for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    floats = onnx.TensorProto.FLOAT
    model.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, floats, None) for name in tensors if name not in known
    )


def _spare_others(model: onnx.ModelProto, chosen: Collection[str]) -> onnx.ModelProto:
    """Have only the chosen nodes read rounded activations; the tool gives them to the residual, too."""
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.name in chosen or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        for place, name in enumerate(node.input):
            maker = makers.get(name)
            if maker is None or maker.op_type != "DequantizeLinear":
                continue
            rounding = makers.get(maker.input[0])
            if rounding is not None and rounding.op_type == "QuantizeLinear":
                source = makers.get(rounding.input[0])
                if source is None or source.name not in chosen:  # a convolution's output is rounded on purpose
                    node.input[place] = rounding.input[0]
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    kept = [node for node in model.graph.node if any(name in read for name in node.output)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model
