"""Searches over HTTP, beside sentence-transformers with faiss behind FastAPI; see `serving`.

Searched by meaning alone, as the peer does, one server of ours encodes with the artifact's own encoder. Another has a
ladder that `compress` made of it in some minutes (`TWOFOLD_SERVING_MINUTES`), and answers within 100 ms with the best
rung that can, or refuses; a third has of that ladder the fastest rung alone that keeps 99 % of the quality, and so has
a fourth, whose texts come again as people's do. The fifth searches by words too, says where they match, and has the
ladder.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import http_peers
from benchmarks.server import part_of
from benchmarks.serving import PROTOCOL, SATURATED_SECONDS, compared, others
from twofold.core import Dataset, Ladder, Pipeline, Recipe, Stage
from twofold.core.recipe import Weights
from twofold.data import read_data
from twofold.encoders.text.weights import find_model
from twofold.flows import shipped_recipe
from twofold.flows.compress import Compress, TextSubject, compress, text_data

__all__ = ["run"]

MINUTES, FLOOR, GOOD = 8.0, 0.8, 0.99
CONNECTIONS, QUESTIONS, DISTINCT = 64, 100_000, 10_000
RECIPE = Path(__file__).parent / "recipes" / "overload.toml"


def run(data: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure searches on ml-latest-small."""
    dataset, rng = read_data(data / "ml-latest-small"), np.random.default_rng(0)
    titles = [title.split() for title in dataset.items["title"].to_list()]
    chosen = rng.integers(0, len(titles), QUESTIONS).tolist()
    texts = [" ".join(titles[at][: 1 + at % 3]) + f" {number}" for number, at in enumerate(chosen)]
    asks = [{"text": text, "k": 10, "priority": "interactive"} for text in texts]
    bodies = [("/search", json.dumps(ask).encode()) for ask in asks]
    ranks = np.arange(1, DISTINCT + 1.0)
    again = [bodies[at] for at in rng.choice(DISTINCT, QUESTIONS, p=1 / ranks / (1 / ranks).sum()).tolist()]
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name) / "ours", Path(name) / "theirs"
        ours.mkdir()
        theirs.mkdir()
        progress("fitting")
        shelf: dict[str, Stage] = {}
        meaning = Pipeline(Recipe.read(RECIPE)).fit(dataset, rng=0, shelf=shelf)
        meaning.save(ours / "meaning")
        Pipeline(_words_too()).fit(dataset, rng=0, shelf=shelf).save(ours / "words")
        http_peers.prepare_search(meaning, theirs, find_model("minilm"))
        ladder = _ladder(dataset, ours / "ladder", progress)
        good = min((rung for rung in ladder.rungs if (rung.kept or 0) >= GOOD), key=lambda rung: rung.milliseconds)
        climbing = ("--ladder", ours / "ladder", "--quality-floor", str(FLOOR))
        alone = f"twofold, {good.name}"
        servers = {
            "twofold": (ours / "meaning",),
            alone: (ours / "meaning", "--ladder", part_of(ours / "ladder", [good], ours / "good")),
            f"{alone}, texts again": (ours / "meaning", "--ladder", ours / "good"),
            "twofold, ladder": (ours / "meaning", *climbing),
            "twofold, words too, ladder": (ours / "words", *climbing),
        }
        own = {f"{alone}, texts again": again}
        rows = compared("search", servers, theirs, bodies, progress, own=own, connections=CONNECTIONS)
    about = {
        "questions": "one to three words of a title and a number, so that no text comes twice",
        "texts again": f"such texts by Zipf's law (exponent 1), {DISTINCT:,} in all; slates and vectors are kept",
        "saturated": f"wrk, {CONNECTIONS} connections, {SATURATED_SECONDS:g} s; on the same cores",
        "peer": "sentence-transformers fp32 of the same model and a flat index of faiss behind FastAPI",
        "ladder": {rung.name: {"kept": rung.kept, "ms": rung.milliseconds} for rung in ladder.rungs},
    }
    return {"protocol": PROTOCOL | about | {"load besides": others()}, "rows": rows}


def _ladder(dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> Ladder:
    """Make a ladder of the encoder with one small body, the static one."""
    minutes = float(os.environ.get("TWOFOLD_SERVING_MINUTES", MINUTES))
    progress(f"making the ladder, {minutes:g} minutes")
    subject = TextSubject(find_model("minilm"), text_data(dataset, queries=100, documents=500), name="minilm")
    return compress(
        subject, folder, Compress(floor=FLOOR, minutes=minutes, bodies=("static",), runtimes=("onnxruntime",))
    ).ladder


def _words_too() -> Recipe:
    """Return the recipe that searches by words and by meaning, and orders by taste."""
    whole = shipped_recipe("language")
    evidence = Weights(
        text=whole.evidence.text,
        items={"similar": 1.0},
        history={"transitions": 0.5, "ease": 0.5},
        nothing=whole.evidence.nothing,
    )
    return replace(whole, evidence=evidence, tune={}).needed()
