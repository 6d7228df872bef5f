"""Time one of sentence-transformers' own backends in turns with its torch; print JSON. Needs no Twofold.

python backend_worker.py onnx|openvino MODEL_FOLDER
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer

SHAPES = {"one": (1, 16, 100), "many": (32, 128, 7)}
"""Rows, tokens and rounds, of which the first two do not count."""


def main(backend: str, folder: str) -> None:
    """Open the model in all forms, time them in turns and print what came of it."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        models = {"torch": SentenceTransformer(folder, device="cpu"), **_others(backend, folder, Path(work))}
        rng = np.random.default_rng(0)
        found: dict[str, Any] = {}
        for name, (rows, tokens, rounds) in SHAPES.items():
            ids = torch.from_numpy(rng.integers(1_000, 20_000, (rows, tokens)))
            feed = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
            seconds: dict[str, list[float]] = {key: [] for key in models}
            for turn in range(rounds):
                for key, model in models.items():
                    begun = time.perf_counter()
                    with torch.inference_mode():
                        model.forward({part: value.clone() for part, value in feed.items()})
                    if turn > 1:
                        seconds[key].append(time.perf_counter() - begun)
            found[name] = {
                key: statistics.median(a / b for a, b in zip(seconds["torch"], own, strict=True))
                for key, own in seconds.items()
            }
    versions = {part.__name__: part.__version__ for part in (sentence_transformers, transformers, torch)}
    print(json.dumps({"ratios": found, "versions": versions}))


def _others(backend: str, folder: str, work: Path) -> dict[str, SentenceTransformer]:
    """Return the backend's form of the model, and for ONNX the int8 form that it makes.

    The int8 form of OpenVINO is calibrated on a data set of a hub, so it is left out.
    """
    if backend == "openvino":
        given: dict[str, Any] = {"ov_config": {"INFERENCE_NUM_THREADS": "1", "PERFORMANCE_HINT": "LATENCY"}}
        return {backend: SentenceTransformer(folder, backend="openvino", model_kwargs=given)}
    import onnxruntime  # noqa: PLC0415
    from sentence_transformers import export_dynamic_quantized_onnx_model  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    given = {"session_options": options, "provider": "CPUExecutionProvider"}
    plain = SentenceTransformer(folder, backend="onnx", model_kwargs=given)
    plain.save_pretrained(str(work))
    export_dynamic_quantized_onnx_model(plain, "avx512_vnni", str(work))
    file = "onnx/model_qint8_avx512_vnni.onnx"
    int8 = SentenceTransformer(str(work), backend="onnx", model_kwargs={**given, "file_name": file})
    return {backend: plain, "onnx int8": int8}


if __name__ == "__main__":
    main(*sys.argv[1:3])
