"""What a graph alone says of its attention."""

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["heads_of"]


def heads_of(content: bytes) -> tuple[int, int]:
    """Return the attention heads of a layer and the width of the states, as the traced shapes tell; 0, 0 if none do.

    Attention that is written out brings states [b, l, width] to [b, l, heads, width / heads], by a shape whose last
    two numbers are fixed; width is that of the largest table of vectors.

    Args:
        content: an ONNX file.
    """
    model = onnx.load_model_from_string(content)
    tables = {tensor.name: tensor for tensor in model.graph.initializer}
    fixed = {node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in model.graph.node if _constant(node)}
    fixed |= {name: numpy_helper.to_array(tensor) for name, tensor in tables.items() if np.prod(tensor.dims) <= 8}
    shapes = {
        node.output[0]: [fixed.get(name) for name in node.input]
        for node in model.graph.node
        if node.op_type == "Concat"
    }
    read = [node.input[0] for node in model.graph.node if node.op_type == "Gather" and node.input[0] in tables]
    widths = [int(tables[name].dims[1]) for name in read if len(tables[name].dims) == 2]
    for node in model.graph.node:
        parts = shapes.get(node.input[1], []) if node.op_type == "Reshape" else []
        size = parts[3] if len(parts) == 4 else None
        if widths and size is not None and size.size == 1 and 0 < int(size.item()) < max(widths):
            return max(widths) // int(size.item()), max(widths)
    return 0, 0


def _constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and node.attribute[0].name == "value"
