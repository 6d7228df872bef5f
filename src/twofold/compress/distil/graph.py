"""A static student as an ONNX graph in the folder of a text encoder. Needs onnx, and torch only for the student."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from twofold.compress.distil.examples import Reader
from twofold.core.errors import ArtifactError, ConfigError
from twofold.core.scores import Floats

__all__ = ["save_static", "table_graph"]

GRAPH = Path("onnx") / "model.onnx"
OPSET, IR = 17, 8
TINY = 1e-12
Node = tuple[str, list[str], str, dict[str, Any]]
"""Operation, inputs, output, attributes."""


def table_graph(table: Floats, *, int8: bool = False) -> bytes:
    """Return the graph of a table of token vectors whose sum is a text's vector, brought to length 1.

    Inputs `input_ids` and `attention_mask`, int64 [b, l]; output `sentence_embedding`, float32 [b, d]; zeros for a
    text all of whose tokens have a row of zeros. Rows are gathered, multiplied by the mask, summed and normalised:
    a row does not depend on the others in its batch, nor on its padding.

    Args:
        table: token vectors times their weights, [v, d].
        int8: whether a row is kept as `round(row / step)` in 8 bits, with a step of its own, `max |row| / 127`.

    Raises:
        ConfigError: a number of it is none.
    """
    if not np.isfinite(table).all():
        raise ConfigError("the static student has vectors that are no numbers; distil it anew with a smaller lr.")
    constants = {"axis": np.array([1], np.int64), "tiny": np.array(TINY, np.float32)}
    nodes: list[Node] = [("Cast", ["attention_mask"], "mask", {"to": TensorProto.FLOAT})]
    if int8:
        steps = np.maximum(np.abs(table).max(axis=1), TINY) / 127
        constants["table"] = np.round(table / steps[:, None]).astype(np.int8)
        constants["steps"] = steps.astype(np.float32)
        nodes += [
            ("Gather", ["table", "input_ids"], "whole", {}),
            ("Cast", ["whole"], "rows", {"to": TensorProto.FLOAT}),
            ("Gather", ["steps", "input_ids"], "step", {}),
            ("Mul", ["step", "mask"], "shares", {}),
        ]
    else:
        constants["table"] = np.ascontiguousarray(table, np.float32)
        nodes += [("Gather", ["table", "input_ids"], "rows", {}), ("Identity", ["mask"], "shares", {})]
    nodes += [
        ("Unsqueeze", ["shares", "axis"], "one", {}),
        ("MatMul", ["one", "rows"], "sums", {}),
        ("Squeeze", ["sums", "axis"], "sum", {}),
        ("ReduceL2", ["sum"], "length", {"axes": [1], "keepdims": 1}),
        ("Max", ["length", "tiny"], "divisor", {}),
        ("Div", ["sum", "divisor"], "sentence_embedding", {}),
    ]
    return _model(nodes, constants, table.shape[1])


def _model(nodes: list[Node], constants: dict[str, Any], width: int) -> bytes:
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", width])
    graph = helper.make_graph(
        [helper.make_node(kind, given, [made], **options) for kind, given, made, options in nodes],
        "static",
        inputs,
        [output],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def save_static(table: Floats, reader: Reader, folder: Path, *, int8: bool = True) -> None:
    """Write a static student as the folder of a text encoder: `onnx/model.onnx` and `tokenizer.json`.

    Args:
        table: `StaticStudent.folded()`.
        reader: the teacher's tokenizer; texts are cut where it cuts them, and a longer cut costs little here.
        folder: made where it is not there.
        int8: whether the table is kept in 8 bits; see `table_graph`.

    Raises:
        ArtifactError: the folder cannot be written.
        ConfigError: the table has numbers that are none, or fewer rows than the tokenizer has tokens.
    """
    if len(table) < reader.size:
        raise ConfigError(f"the tokenizer has {reader.size} tokens and the table {len(table)} rows; give its own.")
    content = table_graph(table, int8=int8)
    try:
        (folder / GRAPH).parent.mkdir(parents=True, exist_ok=True)
        (folder / GRAPH).write_bytes(content)
        (folder / "tokenizer.json").write_text(reader.spelled(), encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be written ({error.strerror}); give another folder.") from None
