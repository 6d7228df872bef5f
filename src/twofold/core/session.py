"""`open_session`: onnxruntime over a graph, opened in one way for all networks that are served."""

from pathlib import Path

import onnxruntime as ort

from twofold.core.errors import ArtifactError
from twofold.core.threads import available_threads

__all__ = ["open_session"]


def open_session(graph: bytes | Path, what: str, *, threads: int = 0) -> ort.InferenceSession:
    """Open a graph on the CPU.

    Memory goes back after each call: no arena, which keeps what the largest batch ever took, and no plan of memory for
    each shape that came.

    Args:
        graph: the ONNX file, or its bytes.
        what: it is, for the message where it cannot be opened.
        threads: for one call; 0 for as many as this process may use, see `available_threads`.

    Raises:
        ArtifactError: it is no graph that can be run.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    # Threads that turn while they wait take the cores from other workers: a third to a half of the CPU of a search.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many classes of its own
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(f"{what} cannot be run by onnxruntime ({reason}); make it again.") from error
