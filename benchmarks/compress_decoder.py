"""Part `decoder` of `compress-parts`: SmolLM2-135M in float32, 8 and 4 bits: milliseconds a token, and perplexity.

The graph takes some tokens and what was kept of those before: inputs `input_ids` int64 [b, t] and `past` float32
[layers, 2, b, heads, p, d]; outputs `logits` [b, t, v] and `present`, which is `past` of t more tokens.

`TWOFOLD_COMPRESS_TEXTS` says how many texts perplexity is measured on.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import polars as pl
import torch
from torch import Tensor
from torch.onnx.operators import shape_as_tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache

from twofold.compress.measure import Rounds, Timing, in_turns
from twofold.compress.quantise.weights import quantise_weights
from twofold.encoders.text.weights import find_model
from twofold.train.silence import silent

__all__ = ["decoder", "export_decoder"]

TEXTS, SEED, LENGTH = 40, 0, 64
"""Texts that perplexity is measured on, and the tokens of each that are read."""
PAST = 64
"""Tokens before the one whose time is taken."""
NEVER = -1e9
TORCH = "torch float32"
MIXED = "int4, groups of 32, exact zeros, the output layer int8"
BITS: Mapping[str, dict[str, Any]] = {
    "int8": {"bits": 8, "block": 32, "zero": "whole"},
    "int8, groups of 64": {"bits": 8, "block": 64},
    "int8, groups of 128": {"bits": 8, "block": 128},
    "int4, groups of 32": {"bits": 4, "block": 32, "zero": "whole"},
    "int4, groups of 128": {"bits": 4, "block": 128},
    "int4, groups of 32, exact zeros": {"bits": 4, "block": 32, "zero": "exact"},
    MIXED: {"bits": 4, "block": 32, "zero": "exact"},
}

Session = Any  # onnxruntime is not typed


class Step(torch.nn.Module):
    """A decoder as the graph has it; see the module.

    Args:
        model: of transformers, with rotary positions, in evaluation mode and with eager attention.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [b, t, v], and what is to be kept of all tokens so far."""
        cache = DynamicCache()
        for layer in range(past.shape[0]):
            cache.update(past[layer, 0], past[layer, 1], layer)
        # Numbers to the graph, and to Python's types tensors.
        before: Any = shape_as_tensor(past)[4]
        count: Any = shape_as_tensor(input_ids)[1]
        places = before + torch.arange(count)
        later = torch.arange(before + count)[None] > places[:, None]
        found = self.model(
            input_ids=input_ids,
            attention_mask=(later.float() * NEVER)[None, None],
            position_ids=places[None],
            past_key_values=cache,
            use_cache=True,
        )
        layers: list[Any] = cache.layers
        kept = [torch.stack([layer.keys, layer.values]) for layer in layers]
        return found.logits, torch.stack(kept)


def decoder(data: Path, _tokens: int, progress: Callable[[str], None]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Export SmolLM2, write its matrices in fewer bits, and measure each."""
    folder = find_model("smollm2")
    with silent():
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, attn_implementation="eager"
        )
        model.eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = _texts(data)
    read = [np.array([tokenizer(text)["input_ids"][:LENGTH]], np.int64) for text in texts]
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="twofold-") as work:
        shape = (model.config.num_hidden_layers, 2, 1, model.config.num_key_value_heads, 0, model.config.head_dim)
        empty = np.zeros(shape, np.float32)
        content = export_decoder(model, empty)
        apart = _apart(model, _opened(content), read[0], empty)
        progress(f"decoder: exported; logits differ from torch's by {apart:.1e} at most")
        files = {"float32": Path(work) / "float32.onnx"}
        files["float32"].write_bytes(content)
        for name, options in BITS.items():
            others = {_last_product(content): 8} if name == MIXED else {}
            try:
                made = quantise_weights(content, others=others, **options)
            except Exception as error:  # what cannot be written in so many bits is told
                failed[name] = " ".join(str(error).split())[:300]
                continue
            files[name] = Path(work) / f"{name}.onnx"
            files[name].write_bytes(made)
        sessions = {name: _opened(file) for name, file in files.items()}
        found = _timed(model, sessions, read, empty)
        for name, session in sessions.items():
            progress(f"decoder: perplexity of {name}")
            perplexity = _perplexity(session, read, empty)
            rows += _rows(name, perplexity, files[name].stat().st_size, found)
    rows.append({"system": TORCH, "metric": "ms a token", "value": found[TORCH].median * 1000})
    base = next(row["value"] for row in rows if row["metric"] == "perplexity")
    rows += [
        {"system": row["system"], "metric": "perplexity ratio", "value": row["value"] / base}
        for row in rows
        if row["metric"] == "perplexity"
    ]
    return rows, {
        "model": "SmolLM2-135M-Instruct, of a file whose weights had 4 bits already (GGUF Q4_1: groups of 32 with a "
        "smallest value of their own), which are rounded a second time here",
        "texts": f"{len(texts)} movies' titles and plots, drawn with seed {SEED}, {LENGTH} tokens of each at most",
        "time": f"median of one token behind {PAST} others, one thread, onnxruntime in turns with torch float32",
        "export": f"logits differ from torch's by {apart:.1e} at most",
        "bits": "MatMulNBits with int8 activations, the output layer too; the embedding table has 8 bits; exact zeros: "
        "see twofold.compress.quantise.weights.with_offsets",
        "not made": failed,
    }


def export_decoder(model: Any, empty: npt.NDArray[np.float32]) -> bytes:
    """Return a decoder as an ONNX file; batch 1, any number of tokens, any number before them.

    Args:
        model: of transformers, with eager attention.
        empty: `past` of no token.
    """
    shape = (*empty.shape[:4], 2, empty.shape[5])
    with tempfile.TemporaryDirectory(prefix="twofold-") as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Step(model).eval(),
            (torch.ones((1, 3), dtype=torch.int64), torch.zeros(shape)),
            str(Path(folder) / "model.onnx"),
            input_names=["input_ids", "past"],
            output_names=["logits", "present"],
            dynamic_axes={
                "input_ids": {1: "tokens"},
                "past": {4: "before"},
                "logits": {1: "tokens"},
                "present": {4: "after"},
            },
            opset_version=17,
            dynamo=False,
        )
        return (Path(folder) / "model.onnx").read_bytes()


def _last_product(content: bytes) -> str:
    """Return the name of the output layer."""
    nodes = onnx.load_model_from_string(content).graph.node
    return str([node.name for node in nodes if node.op_type == "MatMul"][-1])


def _texts(data: Path) -> list[str]:
    """Return titles and plots of some movies, the same ones each time."""
    plots = pl.read_csv(data / "movie-overviews" / "ml-latest-small_overviews.csv")
    count = int(os.environ.get("TWOFOLD_COMPRESS_TEXTS", TEXTS))
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(plots))[:count]).tolist()
    return [f"{row['ml_title']}. {row['overview']}" for row in plots[chosen].iter_rows(named=True)]


def _opened(graph: bytes | Path) -> Session:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _run(session: Session, ids: npt.NDArray[np.int64], past: npt.NDArray[np.float32]) -> Sequence[Any]:
    found: Sequence[Any] = session.run(["logits", "present"], {"input_ids": ids, "past": past})
    return found


def _apart(model: Any, session: Session, ids: npt.NDArray[np.int64], empty: npt.NDArray[np.float32]) -> float:
    """Return the largest difference of logits to torch's, with the tokens read at once and one after the other."""
    with torch.inference_mode():
        right = model(torch.from_numpy(ids)).logits.numpy()
    whole, _ = _run(session, ids, empty)
    half, past = _run(session, ids[:, :-1], empty)
    last, _ = _run(session, ids[:, -1:], past)
    return float(max(np.abs(whole - right).max(), np.abs(np.concatenate([half, last], axis=1) - right).max()))


def _timed(
    model: Any, sessions: Mapping[str, Session], read: Sequence[npt.NDArray[np.int64]], empty: npt.NDArray[np.float32]
) -> dict[str, Timing]:
    """Time one token behind others, in turns, by each session and by torch, with one thread."""
    before = np.concatenate(list(read), axis=1)[:, : PAST + 1]
    calls: dict[str, Callable[[], Any]] = {TORCH: _by_torch(model, before)}
    for name, session in sessions.items():
        _, past = _run(session, before[:, :-1], empty)
        calls[name] = partial(_run, session, before[:, -1:], past)
    return in_turns(calls, Rounds(seconds=20.0, least=15, most=100))


def _by_torch(model: Any, before: npt.NDArray[np.int64]) -> Callable[[], Any]:
    """Return a call that reads the last token behind the others as transformers does, with what it keeps of them."""
    ids = torch.from_numpy(before)

    def call() -> Any:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                return model(ids[:, -1:], past_key_values=cache, use_cache=True)
        finally:
            torch.set_num_threads(threads)
            cache.crop(-1)

    with torch.inference_mode():
        cache = model(ids[:, :-1], use_cache=True).past_key_values
    return call


def _perplexity(session: Session, read: Sequence[npt.NDArray[np.int64]], empty: npt.NDArray[np.float32]) -> float:
    """Return `exp` of the mean surprise at each token but the first of each text."""
    total, count = 0.0, 0
    for ids in read:
        logits = _run(session, ids, empty)[0][0, :-1].astype(np.float64)
        top = logits.max(axis=1)
        sums = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        total += float((sums - logits[np.arange(len(logits)), ids[0, 1:]]).sum())
        count += len(logits)
    return float(np.exp(total / count))


def _rows(name: str, perplexity: float, size: int, found: Mapping[str, Timing]) -> list[dict[str, Any]]:
    return [
        {"system": name, "metric": "perplexity", "value": perplexity},
        {"system": name, "metric": "ms a token", "value": found[name].median * 1000},
        {"system": name, "metric": "speedup", "value": found[name].ratio(found[TORCH])},
        {"system": name, "metric": "speedup over float32 in onnxruntime", "value": found[name].ratio(found["float32"])},
        {"system": name, "metric": "bytes", "value": float(size)},
    ]
