"""sentence-transformers' own ONNX and OpenVINO backends, timed in turns with its torch, as peers of `compress`.

They want other versions of transformers than Twofold has, so each is run by a Python of its own:
`TWOFOLD_BACKENDS=onnx=path/to/python,openvino=path/to/python`. The first needs
`sentence-transformers[onnx]`, the second `sentence-transformers[openvino]`.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twofold.core.errors import ConfigError
from twofold.encoders.text.weights import find_model
from twofold.evaluate import machine

__all__ = ["run"]

WORKER = Path(__file__).parent / "backend_worker.py"
METRICS = {"one": "speedup", "many": "rate_gain"}


def run(_data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Time all backends that a Python is named for; no data are read."""
    named = dict(part.split("=", 1) for part in os.environ.get("TWOFOLD_BACKENDS", "").split(",") if "=" in part)
    if not named:
        raise ConfigError("no Python is named to run a backend; set TWOFOLD_BACKENDS=onnx=path/to/python.")
    rows, versions = [], {}
    for backend, python in named.items():
        say(backend)
        command = [python, str(WORKER), backend, str(find_model("minilm"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"{backend} does not run: {done.stderr.strip().splitlines()[-1]}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        versions[backend] = found["versions"]
        rows += [
            {"system": f"sentence-transformers, {system}", "metric": METRICS[shape], "value": ratio}
            for shape, ratios in found["ratios"].items()
            for system, ratio in ratios.items()
            if system != "torch"
        ]
    return {
        "protocol": {
            "model": "all-MiniLM-L6-v2",
            "speedup": "one text of 16 tokens, in times of torch float32, one thread, median of ratios in turns",
            "rate_gain": "32 texts of 128 tokens, the same",
            "int8": "ONNX: dynamic, for AVX-512 VNNI; OpenVINO: left out, for its calibration texts come from a hub",
            "versions": versions,
            "machine": machine(),
        },
        "rows": rows,
    }
