"""Networks of torch written as ONNX. Only `fit` needs this module, and torch and onnx with it."""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch

__all__ = ["export"]


def export(module: torch.nn.Module, inputs: Mapping[str, npt.NDArray[Any]], output: str) -> bytes:
    """Return a network as an ONNX file whose first axis, the batch, may have any length.

    Args:
        module: in evaluation mode; takes the inputs by position and returns one tensor.
        inputs: an example of each, at least two rows long, by the names they shall have.
        output: the name of the output.
    """
    file = io.BytesIO()
    target: Any = file  # the declared types leave out what the tracing exporter takes
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # each shape that the trace fixes is one, as is meant
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(value) for value in inputs.values()),
            target,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={name: {0: "batch"} for name in (*inputs, output)},
            opset_version=17,
            dynamo=False,
        )
    return file.getvalue()
