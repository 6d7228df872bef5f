"""The network as an ONNX graph, written from its weights.

Only the state at the last event is asked for in serving, so the last block computes that one alone.
Inputs: `vectors` float32 [b, w, d], `lengths` int64 [b], and where the network has them `gaps` and `values`
int64 [b, w]. Output: `states` float32 [b, d].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from twofold.models.sequential.config import SequentialConfig
from twofold.models.sequential.positions import rotary_tables

__all__ = ["as_onnx"]

OPSET = 20
IR = 10
NEVER = np.float32(-1e9)


class _Graph:
    """A graph in the making; a value is the name of what holds it."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def __call__(self, operation: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node and return its output, or its outputs' common stem."""
        name = f"{operation}.{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operation, inputs, names, name=name, **attributes))
        return name

    def hold(self, value: npt.ArrayLike, dtype: type[np.generic] = np.int64) -> str:
        """Add a constant and return its name."""
        name = f"constant.{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.array(value, dtype, order="C"), name)
        return name


class _Writer:
    """Writes the network's parts into a graph."""

    def __init__(self, config: SequentialConfig, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        self.config, self.graph = config, _Graph()
        self.weights = weights
        self.size = config.width // config.heads
        cosine, sine = rotary_tables(config)
        self.cosine = self.graph.hold(cosine[:, None], np.float32)
        self.sine = self.graph.hold(sine[:, None], np.float32)

    def whole(self) -> str:
        """Write all; return the output."""
        g, states = self.graph, "vectors"
        for feature in ("gaps", "values"):
            if f"{feature}.weight" in self.weights:
                table = g.hold(self.weights[f"{feature}.weight"], np.float32)
                states = g("Add", states, g("Gather", table, feature))
        width = g("Gather", g("Shape", "vectors"), g.hold(1))
        self.turn = [g("Slice", t, g.hold([0]), g("Unsqueeze", width, g.hold([0])), g.hold([0])) for t in self.tables]
        places = g("Range", g.hold(0), width, g.hold(1))
        self.last = g("Unsqueeze", g("Sub", "lengths", g.hold(1)), g.hold([1]))
        filled = g("Less", g("Unsqueeze", places, g.hold([0])), g("Unsqueeze", "lengths", g.hold([1])))
        self.filled = self._mask(g("Unsqueeze", filled, g.hold([1, 2])))
        self.seen = self.filled
        if self.config.objective == "causal":
            rows = g("Unsqueeze", places, g.hold([1]))
            self.seen = self._mask(g("LessOrEqual", g("Unsqueeze", places, g.hold([0])), rows))
        states = self._norm(states, "enter")
        if "near" in self.weights:
            states = g("Add", states, self._near(states))
        for index in range(self.config.layers):
            states = self._block(states, f"blocks.{index}", last=index == self.config.layers - 1)
        return self._norm(g("Squeeze", states, g.hold([1])), "leave")

    @property
    def tables(self) -> tuple[str, str]:
        """The rotations of all positions."""
        return self.cosine, self.sine

    def _block(self, states: str, name: str, *, last: bool) -> str:
        g = self.graph
        looked = g("Reshape", self._linear(self._norm(states, f"{name}.before"), f"{name}.look"), self._shape(3))
        parts = g("Split", looked, g.hold([1, 1, 1]), outputs=3, axis=2)
        query, key, value = (g("Squeeze", f"{parts}.{index}", g.hold([2])) for index in range(3))
        query, key = self._turned(query), self._turned(key)
        if last:
            states, query = (self._at_last(part) for part in (states, query))
        query = g("Transpose", query, perm=[0, 2, 1, 3])
        key = g("Transpose", key, perm=[0, 2, 3, 1])
        value = g("Transpose", value, perm=[0, 2, 1, 3])
        likeness = g("Mul", g("MatMul", query, key), g.hold(self.size**-0.5, np.float32))
        shares = g("Softmax", g("Add", likeness, self.filled if last else self.seen), axis=-1)
        seen = g("Transpose", g("MatMul", shares, value), perm=[0, 2, 1, 3])
        seen = g("Reshape", seen, g.hold([0, 0, self.config.width]))
        states = g("Add", states, self._linear(seen, f"{name}.gather"))
        wide = g("Gelu", self._linear(self._norm(states, f"{name}.between"), f"{name}.widen"))
        return g("Add", states, self._linear(wide, f"{name}.narrow"))

    def _near(self, states: str) -> str:
        """Mix each place with those just before it, number by number."""
        g, near = self.graph, self.weights["near"]
        kernel = g.hold(near[::-1].T[:, None], np.float32)
        mixed = g("Conv", g("Transpose", states, perm=[0, 2, 1]), kernel, group=near.shape[1], pads=[len(near) - 1, 0])
        return g("Transpose", mixed, perm=[0, 2, 1])

    def _shape(self, parts: int) -> str:
        return self.graph.hold([0, 0, parts, self.config.heads, self.size])

    def _turned(self, heads: str) -> str:
        """Rotate [b, w, h, d / h] by position."""
        g, (cosine, sine), half = self.graph, self.turn, self.size // 2
        parts = g("Split", heads, g.hold([half, half]), outputs=2, axis=3)
        left, right = f"{parts}.0", f"{parts}.1"
        first = g("Sub", g("Mul", left, cosine), g("Mul", right, sine))
        return g("Concat", first, g("Add", g("Mul", right, cosine), g("Mul", left, sine)), axis=3)

    def _at_last(self, values: str) -> str:
        """Return [b, 1, …], the values at the last event of [b, w, …]."""
        g = self.graph
        return g("Unsqueeze", g("GatherND", values, self.last, batch_dims=1), g.hold([1]))

    def _mask(self, seen: str) -> str:
        g = self.graph
        return g("Where", seen, g.hold(0, np.float32), g.hold(NEVER, np.float32))

    def _linear(self, values: str, name: str) -> str:
        g = self.graph
        product = g("MatMul", values, g.hold(self.weights[f"{name}.weight"].T, np.float32))
        return g("Add", product, g.hold(self.weights[f"{name}.bias"], np.float32))

    def _norm(self, values: str, name: str) -> str:
        g = self.graph
        scale, shift = (g.hold(self.weights[f"{name}.{part}"], np.float32) for part in ("weight", "bias"))
        return g("LayerNormalization", values, scale, shift, axis=-1, epsilon=1e-5)


def as_onnx(config: SequentialConfig, weights: Mapping[str, npt.NDArray[np.float32]]) -> bytes:
    """Return the network as the content of an ONNX file.

    Args:
        config: its options.
        weights: its parameters, by their names in the network.
    """
    writer = _Writer(config, weights)
    states, batch = writer.whole(), ["b", "w"]
    inputs = [
        helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [*batch, config.width]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, batch[:1]),
    ]
    inputs += [
        helper.make_tensor_value_info(feature, TensorProto.INT64, batch)
        for feature in ("gaps", "values")
        if f"{feature}.weight" in weights
    ]
    output = helper.make_tensor_value_info("states", TensorProto.FLOAT, [*batch[:1], config.width])
    graph = writer.graph
    graph.nodes.append(helper.make_node("Identity", [states], ["states"]))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sequential", inputs, [output], list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="twofold",
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
