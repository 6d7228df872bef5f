"""Weights of 8 and 4 bits in groups, and embedding tables by row: fewer bytes to read, the same operations."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from twofold.compress.quantise.formula import Scheme, quantise
from twofold.compress.quantise.fusion import quiet
from twofold.compress.quantise.soundness import check_interface, import_contrib, load_graph
from twofold.core.errors import ConfigError, nearest

__all__ = [
    "TABLE_BLOCK",
    "quantise_matrices",
    "quantise_tables",
    "quantise_weights",
    "tables_of",
    "with_offsets",
]

TABLE_BLOCK = 32
"""Numbers of a table's row that share a scale at 4 bits."""
SLICE = 4_096
"""Rows of a table that are rounded at once."""
SUMS = "sums_of_blocks_"
SMALL = 2_048
"""A table with fewer numbers stays as it is."""


def quantise_weights(
    content: bytes,
    *,
    bits: Literal[4, 8] = 4,
    block: int = 32,
    zero: Literal["none", "whole", "exact"] = "none",
    activations: Literal["float", "int8"] = "int8",
    table: Literal[0, 4, 8] = 8,
    others: Mapping[str, int] = MappingProxyType({}),
) -> bytes:
    """Return a decoder's, T5's or encoder's graph with its matrices in groups of 4 or 8 bits.

    Args:
        content: the ONNX file of full precision.
        bits: of a weight.
        block: rows of a column that share a scale: 16, 32, 64, 128 or 256.
        zero: where a group's range has its 0: `none` has it in the middle, `whole` at a whole number of levels, and
            `exact`, for 4 bits, where it is, see `with_offsets`.
        activations: what is multiplied: floats, or int8 with a scale for each block of a row, which is faster and does
            not depend on the batch.
        table: bits of embedding tables; 0 leaves them.
        others: bits of single MatMul nodes by name: 8, 4, or 32 for one that stays as it is.

    Raises:
        ConfigError: the graph is not sound, has no matrix to quantise, or no node of a name in `others`.
    """
    parent = load_graph(content)
    model = load_graph(content)
    if table:
        model = quantise_tables(model, dict.fromkeys(tables_of(model), table))
    known = [node.name for node in model.graph.node if node.op_type == "MatMul"]
    if unknown := [name for name in others if name not in known]:
        raise ConfigError(f"the graph has no product {unknown[0]!r}; {nearest(unknown[0], known)}")
    products = dict.fromkeys(known, bits) | dict(others)
    for count in (8, 4):
        left = [name for name, own in products.items() if own != count]
        if len(left) < len(products):
            exact = zero == "exact" and count == 4
            left += with_offsets(model, block, left) if exact else []
            symmetric = zero == "none" or exact
            model = quantise_matrices(
                model, bits=count, block=block, symmetric=symmetric, activations=activations, exclude=left
            )
    if not any(node.op_type == "MatMulNBits" for node in model.graph.node):
        raise ConfigError("the graph has no product with fixed weights to quantise; leave less out.")
    check_interface(parent, model)
    return bytes(model.SerializeToString())


def quantise_matrices(
    model: onnx.ModelProto,
    *,
    bits: int,
    block: int,
    symmetric: bool = True,
    activations: Literal["float", "int8"] = "int8",
    exclude: Collection[str] = (),
) -> onnx.ModelProto:
    """Return the graph with every MatMul that has fixed weights, but those left out, as onnxruntime's MatMulNBits."""
    with quiet():
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer  # noqa: PLC0415  slow

    if block not in (16, 32, 64, 128, 256):
        raise ConfigError(f"block = {block} is none of 16, 32, 64, 128, 256; change it.")
    with quiet():
        quantizer = MatMulNBitsQuantizer(
            model,
            bits=bits,
            block_size=block,
            is_symmetric=symmetric,
            accuracy_level=4 if activations == "int8" else 0,
            nodes_to_exclude=list(exclude),
        )
        quantizer.process()
    made: onnx.ModelProto = quantizer.model.model
    return made


def with_offsets(model: onnx.ModelProto, block: int, exclude: Collection[str] = ()) -> list[str]:
    """Rewrite products so that symmetric groups of 4 bits keep each group's smallest weight to the last digit.

    A group of weights from m to M has levels `q = round((w - m) / d)` with `d = (M - m) / 15`, so that
    `w x = d (q - 8) x + (m + 8 d) x` summed over the group. The first part is what a symmetric group of 4 bits holds
    without a further error; the second is one number times the group's sum of inputs. Those sums are appended to the
    inputs, and `m + 8 d` below the matrix, twice: once as 4 bits hold it, and then what they leave. A zero point, which
    is a whole number of levels, moves all weights of a group by up to half a level. Weights that had 4 bits with a
    smallest value already, such as GGUF's Q4_1 with groups of 32, come out as they were.

    Args:
        model: the graph; it is changed.
        block: rows of a group.
        exclude: names of MatMul nodes that stay as they are.

    Returns:
        The names of the MatMul nodes that sum; they are to stay as they are.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    extended: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        weight = tensors.get(node.input[1]) if node.op_type == "MatMul" and node.name not in exclude else None
        if weight is not None and len(weight.dims) == 2 and weight.dims[0] % block == 0:
            source, rows = node.input[0], int(weight.dims[0])
            if source not in extended:
                extended[source] = f"{source}_with_sums"
                nodes += _summed(model, source, extended[source], rows, block)
            grown = _grown(numpy_helper.to_array(weight), block)
            model.graph.initializer.append(numpy_helper.from_array(grown, f"{node.name}_weights_with_offsets"))
            node.input[0], node.input[1] = extended[source], f"{node.name}_weights_with_offsets"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    for name, tensor in tensors.items():
        if name not in read:
            model.graph.initializer.remove(tensor)
    return [node.name for node in nodes if node.op_type == "MatMul" and node.input[1].startswith(SUMS)]


def _summed(model: onnx.ModelProto, source: str, target: str, rows: int, block: int) -> list[onnx.NodeProto]:
    """Return the nodes that append to inputs the sum of each block of them, twice, each time filled up with zeros."""
    blocks, places = rows // block, np.arange(rows)
    width = -(-blocks // block) * block
    sums = np.zeros((rows, 2 * width), np.float32)
    sums[places, places // block] = sums[places, width + places // block] = 1
    name = f"{SUMS}{rows}_{block}"
    if all(tensor.name != name for tensor in model.graph.initializer):
        model.graph.initializer.append(numpy_helper.from_array(sums, name))
    return [
        helper.make_node("MatMul", [source, name], [f"{source}_sums"], f"{source}_sum"),
        helper.make_node("Concat", [source, f"{source}_sums"], [target], f"{source}_append", axis=-1),
    ]


def _grown(weights: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    """Return weights less their groups' offsets, with the offsets below them, float32 [rows and more, columns]."""
    rows, columns = weights.shape
    groups = weights.reshape(rows // block, block, columns)
    least, most = groups.min(axis=1), groups.max(axis=1)
    offsets = np.zeros((-(-len(groups) // block) * block, columns), np.float32)
    offsets[: len(groups)] = least + 8 * (most - least) / 15
    rest = (groups - offsets[: len(groups), None]).reshape(rows, columns)
    return np.concatenate([rest, offsets, offsets - _held(offsets, block)])


def _held(weights: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    """Return weights as symmetric groups of 4 bits hold them: the largest number of a group becomes level -8."""
    groups = weights.reshape(-1, block, weights.shape[1])
    place = np.abs(groups).argmax(axis=1, keepdims=True)
    scale = np.take_along_axis(groups, place, axis=1) / -8
    levels = np.clip(np.floor(groups / np.where(scale == 0, 1, scale) + 0.5), -8, 7)
    found: npt.NDArray[np.float32] = (levels * scale).reshape(weights.shape).astype(np.float32)
    return found


def tables_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return the embedding tables: for the first Gather that reads one, the name of the initializer.

    A table that is also multiplied with, as the tied output layer of a language model, is none.
    """
    large = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2 and np.prod(tensor.dims) >= SMALL
    }
    found: dict[str, str] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in large and not (node.op_type == "Gather" and place == 0 and _axis(node) == 0):
                large.discard(name)
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in large and node.input[0] not in found.values():
            found[node.name] = node.input[0]
    return found


def _axis(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def quantise_tables(model: onnx.ModelProto, bits: Mapping[str, int]) -> onnx.ModelProto:
    """Return the graph with embedding tables of 8 bits and a scale a row, or of 4 and a scale for each 32 of a row.

    At 8 bits the rows are gathered, made float and multiplied with their scale, by standard operators; at 4 bits by
    onnxruntime's GatherBlockQuantized.

    Args:
        model: the graph; it is changed.
        bits: 8 or 4 by the name that `tables_of` gives a table; others stay as they are.
    """
    named = {name: bits[node] for node, name in tables_of(model).items() if bits.get(node) in (4, 8)}
    for name, count in named.items():
        tensor = next(one for one in model.graph.initializer if one.name == name)
        levels, scales = _rounded(numpy_helper.to_array(tensor), count)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
        if count == 8:
            model.graph.initializer.append(numpy_helper.from_array(levels, f"{name}_int8"))
        else:
            pairs = levels.reshape(-1, 2)
            packed = (pairs[:, 0] & 15 | (pairs[:, 1] & 15) << 4).astype(np.uint8).tobytes()
            kind = onnx.TensorProto.INT4
            model.graph.initializer.append(helper.make_tensor(f"{name}_int4", kind, levels.shape, packed, raw=True))
            model.ir_version = max(model.ir_version, 10)  # the first that knows int4
            import_contrib(model)
    nodes = [new for node in model.graph.node for new in _gathered(node, named)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _gathered(node: onnx.NodeProto, bits: Mapping[str, int]) -> list[onnx.NodeProto]:
    """Return what stands for a node: itself, unless it reads a table that was rounded."""
    if node.op_type != "Gather" or node.input[0] not in bits:
        return [node]
    name, rows, output = node.input[0], node.input[1], node.output[0]
    if bits[name] == 4:
        options: dict[str, Any] = {"gather_axis": 0, "quantize_axis": 1, "block_size": TABLE_BLOCK}
        inputs = [f"{name}_int4", rows, f"{name}_scale"]
        return [
            helper.make_node("GatherBlockQuantized", inputs, [output], node.name, domain="com.microsoft", **options)
        ]
    stages = [f"{output}_{stage}" for stage in ("levels", "floats", "scales")]
    return [
        helper.make_node("Gather", [f"{name}_int8", rows], stages[:1], node.name),
        helper.make_node("Cast", stages[:1], stages[1:2], f"{node.name}_cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [f"{name}_scale", rows], stages[2:], f"{node.name}_scale"),
        helper.make_node("Mul", stages[1:], [output], f"{node.name}_mul"),
    ]


def _rounded(table: npt.NDArray[np.float32], bits: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return the levels [v, d] of a table, and its scales: [v, 1] at 8 bits, [v, groups] at 4."""
    rows, width = table.shape
    granularity: Literal["channel", "group"] = "channel" if bits == 8 else "group"
    scheme = Scheme(bits=bits, granularity=granularity, group=TABLE_BLOCK)
    padded = width if bits == 8 else width + width % 2
    levels, scales = np.zeros((rows, padded), np.int8), []
    for start in range(0, rows, SLICE):
        part = quantise(table[start : start + SLICE].T, scheme)
        columns = part.levels.reshape(-1, part.levels.shape[-1])[:width]
        levels[start : start + SLICE, :width] = columns.T
        scales.append(part.scale.reshape(-1, part.levels.shape[-1]).T)
    return levels, np.ascontiguousarray(np.concatenate(scales))
