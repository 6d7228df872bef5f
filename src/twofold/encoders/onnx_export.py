"""Networks of torch written as ONNX. Only `fit` needs this module, and torch, onnx and onnxscript with it."""

import contextlib
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
    values = tuple(torch.from_numpy(value) for value in inputs.values())
    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.inference_mode(False):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            values,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple({0: batch} for _ in values),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
