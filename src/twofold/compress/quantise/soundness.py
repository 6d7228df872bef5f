"""What every step on an ONNX graph is held to: sound weights, the same inputs and outputs, and the parent's answers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from twofold.core.errors import ConfigError
from twofold.core.scores import Floats
from twofold.core.session import open_session

__all__ = [
    "Agreement",
    "Feed",
    "agreement",
    "check_interface",
    "import_contrib",
    "likeness",
    "load_graph",
    "rows_of",
    "steadiness",
    "weight_of",
]

Feed = Mapping[str, npt.NDArray[Any]]
"""A network's inputs of one batch, by name; the first axis is the batch."""
QUANTISED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "ConvInteger",
        "QLinearMatMul",
        "QLinearConv",
        "MatMulNBits",
        "MatMulBnb4",
        "GatherBlockQuantized",
        "QAttention",
        "QGemm",
        "QEmbedLayerNormalization",
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
    }
)
"""Operators that only a quantised graph has."""


def load_graph(content: bytes) -> onnx.ModelProto:
    """Read an ONNX file of full precision; every node gets a name.

    Raises:
        ConfigError: it is no ONNX file, it is quantised already, or a weight is not a number.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises classes of its own
        raise ConfigError("the bytes to be quantised are no ONNX file; export the model anew.") from error
    for place, node in enumerate(model.graph.node):
        if node.op_type in QUANTISED:
            raise ConfigError(
                f"the graph is quantised already (node {node.name or node.op_type!r} is a {node.op_type}); "
                "give the one of full precision."
            )
        node.name = node.name or f"{node.op_type}_{place}"
    multiplied = {name for node in model.graph.node if (name := _weight_name(node))}
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        # a mask may be minus infinity, what is multiplied with may not
        if np.isnan(values).any() or (tensor.name in multiplied and not np.isfinite(values).all()):
            raise ConfigError(f"the weights {tensor.name!r} hold what is no number; they are damaged, get others.")
    return model


def _weight_name(node: onnx.NodeProto) -> str:
    """Return what holds a node's weights, if it is an initializer; "" where the node has none."""
    if node.op_type in ("MatMul", "Gemm", "Conv", "Attention") and len(node.input) > 1:
        return str(node.input[1])
    return str(node.input[0]) if node.op_type == "Gather" else ""


def weight_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return the name of the float initializer that each MatMul, Gemm, Conv, Attention or Gather uses, by node."""
    ranks = {
        tensor.name: len(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1
    }
    return {node.name: name for node in model.graph.node if (name := _weight_name(node)) in ranks}


def check_interface(parent: bytes | onnx.ModelProto, child: onnx.ModelProto) -> None:
    """Check that a step left inputs, outputs and the axes that may have any length as they were.

    An output's axis counts as free where it is the first, or is named like one of an input; others, such as the length
    of vectors, may only have been unknown.

    Raises:
        ConfigError: one is missing, or an axis that was free is fixed.
    """
    before = onnx.load_model_from_string(parent) if isinstance(parent, bytes) else parent
    names: set[str] = set()
    for kind in ("input", "output"):
        old, new = _axes(getattr(before.graph, kind)), _axes(getattr(child.graph, kind))
        if kind == "input":
            names = {axis for axes in old.values() for axis in axes if isinstance(axis, str) and axis}
        for name, axes in old.items():
            if name not in new:
                raise ConfigError(f"the {kind} {name!r} was lost in quantisation; report the model.")
            for place, (was, now) in enumerate(zip(axes, new[name], strict=False)):
                free = isinstance(was, str) and (kind == "input" or place == 0 or was in names)
                if free and isinstance(now, int):
                    raise ConfigError(f"axis {place} of the {kind} {name!r} was free and is fixed to {now}; report it.")


def _axes(values: Iterable[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
    """Return the length of each axis by name; its own name, or "", where it may be any."""
    return {
        value.name: [
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param
            for axis in value.type.tensor_type.shape.dim
        ]
        for value in values
    }


def rows_of(session: ort.InferenceSession, feed: Feed, also: Collection[str] = ()) -> Floats:
    """Return the last output of a graph for a batch, as rows [r, d]: one a text, or one a token where it has those.

    What of the feed is no input is left out; `also` names initializers that are given anew.
    """
    wanted = {value.name for value in session.get_inputs()} | set(also)
    found = session.run([session.get_outputs()[-1].name], {k: v for k, v in feed.items() if k in wanted})[0]
    return np.asarray(found, np.float32).reshape(-1, found.shape[-1] if found.ndim > 1 else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How like a graph's answers are to its parent's: cosines of rows.

    Where an answer is a single number, as a ranker's is, a row's likeness is 1 less its difference in parts of the
    numbers' standard deviation.
    """

    worst: float
    mean: float
    rows: int
    numbers: bool = False
    """Whether answers are single numbers."""


def agreement(parent: bytes, child: bytes, feeds: Sequence[Feed], *, threads: int = 1) -> Agreement:
    """Compare two graphs' answers to the same batches, by their last output.

    Raises:
        ConfigError: there is nothing to compare by, or an answer is no number.
    """
    if not feeds:
        raise ConfigError("there are no texts to compare a quantised model with its parent by; give some.")
    one, other = (open_session(graph, "a quantised network", threads=threads) for graph in (parent, child))
    olds = np.concatenate([rows_of(one, feed) for feed in feeds])
    news = np.concatenate([rows_of(other, feed) for feed in feeds])
    if not np.isfinite(olds).all():
        raise ConfigError("the model gives what is no number before it is quantised; its weights are damaged.")
    numbers = olds.shape[1] == 1
    if not np.isfinite(news).all():
        return Agreement(worst=-1.0, mean=-1.0, rows=len(olds), numbers=numbers)
    alike = likeness(olds, news)
    return Agreement(worst=float(alike.min()), mean=float(alike.mean()), rows=len(olds), numbers=numbers)


def likeness(olds: Floats, news: Floats) -> npt.NDArray[np.float64]:
    """Return how like each row [r, d] is to the one it was; see `Agreement`."""
    first, second = olds.astype(np.float64), news.astype(np.float64)
    if first.shape[1] == 1:
        found: npt.NDArray[np.float64] = 1 - np.abs(first - second)[:, 0] / max(float(first.std()), 1e-9)
        return found
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    both_zero = ~first.any(axis=1) & ~second.any(axis=1)
    cosines: npt.NDArray[np.float64] = np.where(both_zero, 1.0, (first * second).sum(1) / np.maximum(lengths, 1e-30))
    return cosines


def steadiness(
    content: bytes, feed: Feed, sizes: Sequence[int] = (1, 2, 31, 32, 33), *, threads: int = 1
) -> float | None:
    """Return how like the answer to a text alone is to the answer to it in a batch: the worst, over sizes of batches.

    1 where neither the batch nor the padding matters; None where a text has more than one row of answers. A text alone
    is without padding, where the feed has an `attention_mask` [b, l] that tells the real tokens; those are on the left.

    Args:
        content: the graph.
        feed: some rows, of unlike lengths; repeated where a batch is larger.
        sizes: of the batches.
        threads: for a run.
    """
    session = open_session(content, "a quantised network", threads=threads)
    count = len(next(iter(feed.values())))
    alone = np.concatenate([rows_of(session, _alone(feed, row)) for row in range(count)])
    if len(alone) != count:
        return None
    worst = 1.0
    for size in sizes:
        taken = np.arange(size) % count
        together = rows_of(session, {name: values[taken] for name, values in feed.items()})
        worst = min(worst, float(likeness(alone[taken], together).min()))
    return worst


def _alone(feed: Feed, row: int) -> dict[str, npt.NDArray[Any]]:
    single = {name: values[row : row + 1] for name, values in feed.items()}
    mask = single.get("attention_mask")
    if mask is None:
        return single
    length = int(mask.sum())
    return {name: v[:, :length] if v.shape[:2] == mask.shape else v for name, v in single.items()}


def import_contrib(model: onnx.ModelProto) -> None:
    """Say that a graph uses onnxruntime's own operators, if it is not said yet."""
    if not any(one.domain == "com.microsoft" for one in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
