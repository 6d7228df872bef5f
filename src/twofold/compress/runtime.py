"""What runs a rung: `Runtime` over onnxruntime or OpenVINO, and `runtimes`, those that are installed.

A *feed* is what a network takes for one batch: arrays by name, the first axis of each the batch.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from twofold.core.errors import ArtifactError, ConfigError, MissingExtraError, nearest
from twofold.core.scores import Floats
from twofold.core.session import open_session
from twofold.core.threads import available_threads

__all__ = [
    "GRAPH",
    "OPENVINO",
    "Feed",
    "OnnxRuntime",
    "OpenVino",
    "Runtime",
    "open_runtime",
    "runtimes",
    "write_graph",
    "write_openvino",
]

Feed = Mapping[str, npt.NDArray[Any]]
GRAPH = Path("onnx") / "model.onnx"
"""Where the graph lies in a rung's folder."""
OPENVINO = Path("openvino") / "openvino_model.xml"
"""Where a graph in OpenVINO's own format lies, if there is one; sentence-transformers looks for it there, too."""
CPUINFO = Path("/proc/cpuinfo")
SHAPES = 32
"""Shapes of input for which OpenVINO keeps what it has prepared; its own default, thousands, grows without end."""

log = logging.getLogger(__name__)


class Runtime(ABC):
    """A network that one library runs with a given number of threads; it may be called from several threads."""

    name: ClassVar[str]

    def __init__(self, folder: Path, *, output: str, threads: int = 0) -> None:
        """Open the network in a rung's folder.

        Args:
            folder: holds `onnx/model.onnx`.
            output: the output that is returned, of any that the graph has.
            threads: for one call; 0 for as many as this process may use, see `available_threads`.

        Raises:
            ArtifactError: there is no graph that this library can run, or it has no such output.
        """
        self.folder, self.output, self.threads = folder, output, threads or available_threads()

    @abstractmethod
    def __call__(self, feed: Feed) -> Floats:
        """Return the output for a batch; what the graph does not take of the feed is left out."""


class OnnxRuntime(Runtime):
    """onnxruntime on the CPU, see `open_session`."""

    name = "onnxruntime"

    def __init__(self, folder: Path, *, output: str, threads: int = 0) -> None:
        super().__init__(folder, output=output, threads=threads)
        self._session = open_session(folder / GRAPH, f"the network in {folder}", threads=self.threads)
        self._inputs = [given.name for given in self._session.get_inputs()]
        _check_output(output, [given.name for given in self._session.get_outputs()], folder)

    def __call__(self, feed: Feed) -> Floats:
        """See `Runtime`."""
        return np.asarray(self._session.run([self.output], {name: feed[name] for name in self._inputs})[0])


class OpenVino(Runtime):
    """OpenVINO on the CPU, from its own format where the folder has it, else from the ONNX graph.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    name: ClassVar[str] = "openvino"
    precision: ClassVar[str] = "f32"
    """What is computed in that is not quantised; where it is not said, some machines silently take bfloat16."""

    def __init__(self, folder: Path, *, output: str, threads: int = 0) -> None:
        super().__init__(folder, output=output, threads=threads)
        openvino = _openvino()
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self.threads),
            "INFERENCE_PRECISION_HINT": self.precision,
            "CPU_RUNTIME_CACHE_CAPACITY": str(SHAPES),
        }
        file = folder / (OPENVINO if (folder / OPENVINO).is_file() else GRAPH)
        try:
            model = core.read_model(file)
            names = [name for given in model.outputs for name in given.get_names()]
            _check_output(output, names, folder)
            self._compiled: Any = core.compile_model(model, "CPU", settings)
        except ArtifactError:
            raise
        except Exception as error:
            raise _unreadable(folder, self.name, error) from error
        self._inputs = {name for given in self._compiled.inputs for name in given.get_names()}
        self._local = threading.local()

    def __call__(self, feed: Feed) -> Floats:
        """See `Runtime`."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        request.infer({name: value for name, value in feed.items() if name in self._inputs})
        # The tensor belongs to the request, and its next call writes over it.
        return np.array(request.get_tensor(self.output).data)


class OpenVinoBfloat16(OpenVino):
    """OpenVINO in bfloat16 where float32 was: three decimal digits, and several times as fast where a CPU has AMX.

    A CPU without such instructions computes in float32.
    """

    name = "openvino bfloat16"
    precision = "bf16"


KINDS = (OnnxRuntime, OpenVino, OpenVinoBfloat16)
RUNTIMES: dict[str, type[Runtime]] = {kind.name: cast(type[Runtime], kind) for kind in KINDS}


def runtimes(flags: Path = CPUINFO) -> tuple[str, ...]:
    """Return the names of the runtimes that are of use here; onnxruntime always is.

    Args:
        flags: says what instructions the CPU has, as `/proc/cpuinfo` does.
    """
    if find_spec("openvino") is None:
        return ("onnxruntime",)
    try:
        native = "_bf16" in flags.read_text(encoding="utf-8", errors="replace")
    except OSError:
        native = False
    return tuple(name for name in RUNTIMES if native or name != OpenVinoBfloat16.name)


def open_runtime(folder: Path, name: str, *, output: str, threads: int = 0) -> Runtime:
    """Open a rung with a runtime by its name; see `Runtime`.

    Raises:
        ConfigError: there is no such runtime.
        ArtifactError: the folder holds nothing that it can run.
        MissingExtraError: it is not installed.
    """
    if name not in RUNTIMES:
        raise ConfigError(f"there is no runtime {name!r}; {nearest(name, RUNTIMES)}")
    return RUNTIMES[name](folder, output=output, threads=threads)


def write_graph(folder: Path, content: bytes) -> None:
    """Write a rung's ONNX graph to its place in a folder."""
    (folder / GRAPH).parent.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(content)


def write_openvino(folder: Path) -> None:
    """Write a rung's graph in OpenVINO's own format beside its ONNX graph, with the weights as wide as they are.

    Raises:
        ArtifactError: OpenVINO cannot read the graph.
        MissingExtraError: it is not installed.
    """
    openvino = _openvino()
    try:
        model = openvino.Core().read_model(folder / GRAPH)
    except Exception as error:
        raise _unreadable(folder, "openvino", error) from error
    (folder / OPENVINO).parent.mkdir(exist_ok=True)
    openvino.save_model(model, folder / OPENVINO, compress_to_fp16=False)


def _openvino() -> Any:
    try:
        import openvino  # noqa: PLC0415  an optional package
    except ImportError as error:
        raise MissingExtraError(
            "running with OpenVINO needs the package openvino; install it with `pip install 'twofold[compress]'`."
        ) from error
    return openvino


def _check_output(output: str, names: list[str], folder: Path) -> None:
    if output not in names:
        raise ArtifactError(f"the network in {folder} has no output {output!r}; {nearest(output, names)}")


def _unreadable(folder: Path, name: str, error: Exception) -> ArtifactError:
    reason = " ".join(str(error).split())[:300]
    return ArtifactError(f"the network in {folder} cannot be run by {name} ({reason}); make it again.")
