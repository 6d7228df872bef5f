"""Coats: ways to write the numbers of a network: float32, and several kinds of int8 and int4."""

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from twofold.compress.quantise.adaptive import choose_bits, layers_of, sensitivity
from twofold.compress.quantise.fusion import quiet
from twofold.compress.quantise.graph import Options, quantise_graph
from twofold.compress.quantise.soundness import load_graph
from twofold.compress.runtime import Feed, runtimes
from twofold.core.errors import ConfigError

__all__ = ["Coat", "Coated", "Graphs", "coats"]

ADAPTIVE = 0.8
"""Share of the bytes of 8 bits that a graph with a number of bits by layer may take."""
BFLOAT16 = "openvino bfloat16"
SENSED = 2
"""Batches by which the sensitivity of layers is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphs:
    """A body's graph in float32, as it was exported and with fused attention (where there is any)."""

    plain: bytes
    fused: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Coated:
    """A graph with the runtimes that are to be tried on it."""

    content: bytes
    runtimes: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coat:
    """A way to write a network's numbers.

    `put` returns the graphs that come out; of several, the one that is fastest with its runtime is kept, so they
    must say the same.
    """

    name: str
    put: Callable[[Graphs, Sequence[Feed]], list[Coated]]
    quantised: bool = True


def coats() -> list[Coat]:
    """Return all coats, the most promising first; those that need a package that is not here are left out."""
    found = [
        Coat(name="float32", put=_float32, quantised=False),
        Coat(name="int8", put=_by(Options(mode="static", granularity="best"))),
    ]
    if BFLOAT16 in runtimes():
        found.append(Coat(name="bfloat16", put=_bfloat16))
    if find_spec("nncf") is not None and "openvino" in runtimes():
        found.append(Coat(name="int8 openvino", put=_openvino))
    return [
        *found,
        Coat(name="adaptive", put=_adaptive),
        Coat(name="int8 smooth", put=_by(Options(mode="static", granularity="channel", smooth=0.5))),
        Coat(name="int8 dynamic", put=_by(Options(mode="dynamic", granularity="best"))),
        Coat(name="int8 group", put=_by(Options(granularity="group"))),
    ]


def _float32(graphs: Graphs, _: Sequence[Feed]) -> list[Coated]:
    return [
        Coated(content=graphs.fused, runtimes=("onnxruntime",)),
        Coated(content=graphs.plain, runtimes=("openvino",)),  # fused attention is an operator of onnxruntime's own
    ]


def _bfloat16(graphs: Graphs, _: Sequence[Feed]) -> list[Coated]:
    """Leave the numbers as they are and compute in bfloat16."""
    return [Coated(content=graphs.plain, runtimes=(BFLOAT16,))]


def _by(options: Options) -> Callable[[Graphs, Sequence[Feed]], list[Coated]]:
    def put(graphs: Graphs, feeds: Sequence[Feed]) -> list[Coated]:
        made = quantise_graph(graphs.fused, options, feeds)
        return [Coated(content=made.content, runtimes=("onnxruntime",), notes=made.notes)]

    return put


def _adaptive(graphs: Graphs, feeds: Sequence[Feed]) -> list[Coated]:
    """Give each layer 8 or 4 bits by how much the answers suffer, within a share of the bytes that 8 bits take."""
    model = load_graph(graphs.fused)
    errors = sensitivity(graphs.fused, feeds[:SENSED])
    sizes = {layer.name: {bits: float(layer.bytes(bits)) for bits in (8, 4)} for layer in layers_of(model)}
    least = sum(size[4] for size in sizes.values())
    budget = max(ADAPTIVE * sum(size[8] for size in sizes.values()), least)
    bits = choose_bits(sizes, errors, budget)
    made = quantise_graph(graphs.fused, Options(mode="static", granularity="best"), feeds, bits)
    few = sum(count == 4 for count in bits.values())
    notes = (*made.notes, f"{few} of {len(bits)} layers have 4 bits, the others 8.")
    return [Coated(content=made.content, runtimes=("onnxruntime",), notes=notes)]


def _openvino(graphs: Graphs, feeds: Sequence[Feed]) -> list[Coated]:
    """Quantise by NNCF for OpenVINO, whose int8 kernels take other patterns than onnxruntime's."""
    os.environ.setdefault("NNCF_CI", "1")  # else it tells its makers over the network what it is used for
    with contextlib.redirect_stdout(io.StringIO()), quiet():
        return _by_nncf(graphs, feeds)


def _by_nncf(graphs: Graphs, feeds: Sequence[Feed]) -> list[Coated]:
    import nncf  # noqa: PLC0415  slow to import, and optional
    import onnx  # noqa: PLC0415

    model = onnx.load_model_from_string(graphs.plain)

    def given(feed: Feed) -> dict[str, Any]:
        names = {value.name for value in model.graph.input}
        return {name: value for name, value in feed.items() if name in names}

    try:
        made = nncf.quantize(
            model,
            nncf.Dataset(list(feeds), given),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(feeds),
        )
    except Exception as error:  # NNCF raises many classes of its own
        raise ConfigError(f"NNCF cannot quantise this network ({' '.join(str(error).split())[:200]}).") from error
    return [Coated(content=made.SerializeToString(), runtimes=("openvino bfloat16", "openvino", "onnxruntime"))]
