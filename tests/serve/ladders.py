"""Tiny query encoders, and ladders of them, made without torch: a table of words, whose mean is a text's vector."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from twofold.core import Pipeline, Recipe
from twofold.core.dataset import Dataset
from twofold.core.ladder import Ladder, Rung
from twofold.core.recipe import Weights
from twofold.encoders.text.encoder import TextEncoder, TextEncoderConfig

WIDTH = 16


def words_of(dataset: Dataset) -> list[str]:
    return sorted({word for title in dataset.items["title"] for word in title.split()})


def write_encoder(folder: Path, words: Sequence[str], *, seed: int, noise: float = 0.0) -> Path:
    """Write an encoder that knows some words; those of one seed give like vectors, the less so the more noise."""
    table = np.random.default_rng(seed).normal(size=(len(words) + 2, WIDTH)).astype(np.float32)
    table += noise * np.random.default_rng(seed + 1).normal(size=table.shape).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["tall"]),
        helper.make_node("Mul", ["each", "tall"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        helper.make_node("ReduceL2", ["sum"], ["length"], axes=[1], keepdims=1),
        helper.make_node("Div", ["sum", "length"], ["sentence_embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "l"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["b", WIDTH])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1]), "middle"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
    known = {word: place for place, word in enumerate(["[PAD]", "[UNK]", *words])}
    tokenizer = Tokenizer(WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_ladder(folder: Path, words: Sequence[str], *, seed: int) -> Ladder:
    """Write a ladder of two rungs, of which the faster one is a little off."""
    write_encoder(folder / "whole", words, seed=seed)
    write_encoder(folder / "small", words, seed=seed, noise=0.3)
    rungs = [
        Rung(name="whole", quality=0.80, milliseconds=8.0, bytes=1, folder="whole"),
        Rung(name="small", quality=0.76, milliseconds=0.5, bytes=1, folder="small"),
    ]
    return Ladder(rungs=rungs).write(folder)


def searching(dataset: Dataset, folder: Path, beside: Recipe | None = None) -> Pipeline:
    """Return a fitted pipeline that searches by the encoder in a folder, beside what another recipe searches by."""
    recipe = Recipe(
        name="words",
        encode={"words": {"kind": "text-encoder"}},
        retrieve={"near": {"kind": "dense", "encoder": "words"}, "popular": {"kind": "popularity"}},
        evidence=Weights(text={"near": 1.0}, items={"near": 1.0}, history={"near": 1.0}, nothing={"popular": 1.0}),
    )
    if beside is not None:
        recipe = replace(
            beside,
            encode=recipe.encode,
            retrieve={**recipe.retrieve, **beside.retrieve},
            evidence=replace(beside.evidence, text={**beside.evidence.text, "near": 0.1}),
        )
    prompts = {"prompts": {"query": "", "document": ""}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    encoder = TextEncoder(TextEncoderConfig())
    encoder._open(folder)
    encoder.vectors = encoder.encode_items(dataset.items)
    pipeline = Pipeline(recipe)
    return pipeline.fit(dataset, rng=0, shelf={pipeline.keys["words"]: encoder})
