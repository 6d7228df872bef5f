"""What the ladder of `compress` does not measure: vectors in fewer bytes, sparse weights, and a language model's bits.

`TWOFOLD_COMPRESS_PARTS` names the parts to run (`vectors,sparse,decoder`, else all); a part that cannot run says why
in the protocol. `TWOFOLD_COMPRESS_TOKENS` says where texts are cut, 64 else, which saves most of the time.
"""

import os
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from twofold.compress.quantise.vectors import encode_items, recall_of
from twofold.core.errors import ConfigError, nearest
from twofold.core.scores import Floats
from twofold.data import read_data
from twofold.data.judgements import read_scifact
from twofold.data.texts import item_texts
from twofold.encoders.text.runtime import OnnxEncoder
from twofold.encoders.text.weights import find_model

__all__ = ["run", "vectors"]

TOKENS, SEED = 64, 0
DEPTHS = (0, 20, 50, 100, 200)
"""Candidates that are put in order anew by the exact vectors, of which 10 are wanted."""
QUERIES = 500

Progress = Callable[[str], None]
Found = tuple[list[dict[str, Any]], dict[str, Any]]
"""Rows, and what to say about them."""
PARTS = {"vectors": "compress_parts", "sparse": "compress_sparse", "decoder": "compress_decoder"}
"""In which module of this package each is."""


def run(data: Path, progress: Progress) -> dict[str, Any]:
    """Run the parts that are asked for and return their figures."""
    tokens = int(os.environ.get("TWOFOLD_COMPRESS_TOKENS", TOKENS))
    rows, card = [], dict[str, Any]()
    for name in _asked(list(PARTS)):
        progress(f"{name}: begun")
        begun = time.monotonic()
        try:
            part: Callable[..., Found] = getattr(import_module(f"benchmarks.{PARTS[name]}"), name)
            found, about = part(data, tokens, progress)
        except Exception as error:  # whatever a part lacks, the others can be had
            card[name] = {"could not run": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
            progress(f"{name} could not run: {card[name]['could not run']}")
            continue
        rows += found
        card[name] = {**about, "seconds": round(time.monotonic() - begun)}
    return {"protocol": card, "rows": rows}


def _asked(known: list[str]) -> list[str]:
    asked = [name.strip() for name in os.environ.get("TWOFOLD_COMPRESS_PARTS", "").split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise ConfigError(f"there is no part {name!r} of the benchmark; {nearest(name, known)}")
    return asked or known


def vectors(data: Path, tokens: int, progress: Progress) -> Found:
    """Recall@10 of exact search on MiniLM's vectors of abstracts and of movies, by how vectors are stored."""
    judged, movies = read_scifact(data / "scifact"), item_texts(read_data(data / "ml-latest-small").items)
    rng = np.random.default_rng(SEED)
    encode = _encoder(tokens)
    abstracts = encode(item_texts(judged.documents))
    progress("vectors: the abstracts are encoded")
    claims = encode([judged.queries[name] for name in judged.qrels])
    items = encode([text for text in movies if text.strip()])
    progress("vectors: the movies are encoded")
    asking = rng.permutation(len(items))[:QUERIES]
    left = np.setdiff1d(np.arange(len(items)), asking)  # else each movie would find itself
    rows = _recalls("scifact", abstracts, claims) + _recalls("ml-latest-small", items[left], items[asking])
    return rows, {
        "model": "all-MiniLM-L6-v2",
        "tokens": tokens,
        "scifact": f"{len(claims)} test claims among {len(abstracts)} abstracts",
        "ml-latest-small": f"{len(asking)} movies, drawn with seed {SEED}, among the {len(left)} others",
        "rescored": "the best by codes, so many of them, are put in order by the float32 vectors (on disk)",
    }


def _encoder(tokens: int) -> Callable[[list[str]], Floats]:
    from twofold.encoders.text.model import load_model, save_model  # noqa: PLC0415  torch

    with tempfile.TemporaryDirectory(prefix="twofold-") as folder:
        save_model(load_model(find_model("minilm"), max_tokens=tokens), Path(folder))
        return OnnxEncoder(Path(folder)).encode


def _recalls(name: str, exact: Floats, queries: Floats) -> list[dict[str, Any]]:
    """Return recall and bytes of each way to store vectors, alone and with candidates rescored."""
    ways = {
        "int8": encode_items(exact, "int8"),
        "binary": encode_items(exact, "binary"),
        "matryoshka 192": encode_items(exact, "matryoshka", dimensions=192),
        "matryoshka 96": encode_items(exact, "matryoshka", dimensions=96),
        "product 96": encode_items(exact, "product", parts=96, rng=SEED),
        "product 48": encode_items(exact, "product", parts=48, rng=SEED),
    }
    rows = [{"system": f"{name}: float32", "metric": "bytes", "value": float(exact.nbytes)}]
    for way, codes in ways.items():
        system = f"{name}: {way}"
        rows += [
            {
                "system": system,
                "metric": f"recall@10 rescored {depth}" if depth else "recall@10",
                "value": recall_of(codes, exact, queries, 10, depth=depth),
            }
            for depth in DEPTHS
        ]
        rows.append({"system": system, "metric": "bytes", "value": float(codes.bytes)})
        rows.append({"system": system, "metric": "times as small", "value": exact.nbytes / codes.bytes})
    return rows
