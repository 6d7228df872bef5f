"""A tiny pipeline of all that a ladder can set, and ladders of its stages, made in seconds."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tests.flows.compress.conftest import CROSS_ENCODER, write_bert
from tests.serve.ladders import searching, words_of, write_encoder, write_ladder

from twofold.compress.runtime import write_graph
from twofold.core import Dataset, Ladder, Recipe, Rung
from twofold.core.config import build
from twofold.core.recipe import Weights
from twofold.data import add_searches
from twofold.models.sequential import Sequential
from twofold.models.sequential.config import SequentialConfig

NEXT = {"width": 16, "length": 16, "training": {"epochs": 1, "threads": 1}, "threads": 1}


@dataclass(frozen=True)
class Tiny:
    """Where an artifact and the ladders of its stages are."""

    artifact: Path
    words: Path
    next: Path
    close: Path

    @property
    def ladders(self) -> dict[str, Path]:
        return {"words": self.words, "next": self.next, "close": self.close}


def write_tiny(folder: Path, dataset: Dataset) -> Tiny:
    """Write an artifact with an encoder `words`, a sequential model `next` and a cross-encoder `close`, and ladders."""
    titles, items = dataset.items["title"].to_list(), dataset.items["item"].to_list()
    dataset = add_searches(dataset, pl.DataFrame({"text": titles[:80], "item": items[:80]}))
    known = words_of(dataset)
    bert = write_bert(folder / "bert", sorted({word.lower() for word in known}))
    recipe = Recipe(
        name="tiny",
        retrieve={"lexical": {"kind": "lexical"}, "next": {"kind": "sequential", **NEXT}},
        rank={"close": {**CROSS_ENCODER, "model": str(bert)}},
        evidence=Weights(text={"lexical": 1.0}, history={"next": 1.0}),
    )
    pipeline = searching(dataset, write_encoder(folder / "model", known, seed=3), recipe)
    pipeline.save(folder / "artifact")
    write_ladder(folder / "words", known, seed=3)
    other = Sequential(build(SequentialConfig, NEXT, "next")).fit(dataset, rng=1)
    write_graph(folder / "next" / "small", other.graphs[0])
    _ladder_of("next", folder / "next")
    stage = folder / "artifact" / "stages" / "close"
    write_graph(folder / "close" / "small", (stage / "model.onnx").read_bytes())
    (folder / "close" / "small" / "tokenizer.json").write_bytes((stage / "tokenizer.json").read_bytes())
    _ladder_of("close", folder / "close")
    return Tiny(*(folder / name for name in ("artifact", "words", "next", "close")))


def _ladder_of(name: str, folder: Path) -> None:
    rung = Rung(name="small", quality=0.9, milliseconds=0.1, bytes=7, folder="small")
    Ladder(rungs=[rung], protocol={"name": name}).write(folder)
