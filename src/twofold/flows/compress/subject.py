"""`Subject`: what is compressed: a network, what it is fed with, and how good its answers are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from twofold.compress.runtime import Feed
from twofold.core.scores import Floats
from twofold.core.stage import Progress

__all__ = ["Body", "Making", "Network", "Part", "Subject", "Use"]

Network = Callable[[Feed], Floats]
Part = Literal["choose", "report"]
"""Choices are made on one part of the held-out cases, what is told is measured on the other."""
Use = Literal["one", "many", "calibrate", "check"]
"""For what feeds are asked: one short row, a full batch, ranges of activations, the comparison with torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What the maker of a body is given."""

    folder: Path
    """Where it writes `onnx/model.onnx` and what goes with it."""
    scratch: Path
    """Where it may keep what a killed run goes on from; removed when the body is finished."""
    source: Path
    """The teacher's own folder, written by the first body."""
    seconds: float
    """How long it may take."""
    seed: int
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A network in float32, made from the teacher by dropping parts of it or by distilling it."""

    name: str
    make: Callable[[Making], Sequence[str]]
    """Writes the folder and returns what is to be known about it, in sentences."""
    steps: tuple[str, ...]
    """How it is made, in order."""
    trained: bool = False
    """Whether making it takes whatever time there is."""
    whole: bool = False
    """Whether its rows are of its own kind, so that quantising them further is of no use."""


class Subject(ABC):
    """A teacher with everything that is needed to compress it and to judge what comes out."""

    kind: ClassVar[str]
    output: ClassVar[str]
    """The output of its graphs that counts."""
    metric: str
    """What quality is, in a few words."""
    name: str
    heads: int = 0
    """Attention heads of a layer; 0 where there is no transformer whose attention could be fused."""
    width: int = 0
    """Of the hidden states."""
    family: str = "bert"
    about: Mapping[str, Any] = field(default_factory=dict)
    """What quality was measured on, for the protocol."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of the teacher and of the data, by which a run is known again."""

    @abstractmethod
    def export(self, making: Making) -> Sequence[str]:
        """Write the teacher in float32; see `Body.make`."""

    @abstractmethod
    def bodies(self) -> list[Body]:
        """Return the bodies to be tried beside the teacher's own, the most promising first."""

    @abstractmethod
    def teacher(self, threads: int) -> Network | None:
        """Return the teacher in torch, or nothing where there is only a graph of it."""

    @abstractmethod
    def feeds(self, use: Use, folder: Path) -> list[Feed]:
        """Return batches as a folder's own tokenizer makes them."""

    @abstractmethod
    def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
        """Return the quality of each held-out case, [c]; larger is better."""

    def prepare(self, network: Network, folder: Path) -> None:  # noqa: B027  only some kinds need it
        """Ask the teacher what quality is compared with, where there are no judgements."""

    def parameters(self, folder: Path) -> int:
        """Return how many numbers the float32 graph in a folder holds."""
        import onnx  # noqa: PLC0415  slow to import

        model = onnx.load_model(str(folder / "onnx" / "model.onnx"))
        kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        return int(sum(np.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type in kinds))
