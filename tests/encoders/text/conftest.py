"""Tiny random models of the three families, in folders as Hugging Face writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from twofold.core import Dataset, Histories, IdMap

WORDS = ["[PAD]", "[UNK]", "[CLS]", "</s>", *"abcdefghijklmnopqrstuvwxyz", "heat", "crime", "中", "文", "."]
SMALL = {"vocab_size": len(WORDS), "pad_token_id": 0}
CONFIGS: dict[str, Any] = {
    "bert": (
        "BertModel",
        {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    ),
    "gpt2": (
        "GPT2Model",
        {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "eos_token_id": 3, "bos_token_id": 3},
    ),
    "llama": (
        "LlamaModel",
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 32,
            "eos_token_id": 3,
            "bos_token_id": 2,
        },
    ),
    "t5": (
        "T5ForConditionalGeneration",
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0},
    ),
}
ENDS = {"bert": ("[CLS] $A </s>", [("[CLS]", 2), ("</s>", 3)]), "t5": ("$A </s>", [("</s>", 3)])}
FAMILIES = [("bert", "mean"), ("bert", "cls"), ("gpt2", "last"), ("llama", "last"), ("llama", "mean"), ("t5", "mean")]


def write_tokenizer(
    folder: Path, family: str, *, words: list[str] = WORDS, side: str = "right", pad: bool = True, chat: bool = False
) -> None:
    """Write a tokenizer that knows some words."""
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if family in ENDS:
        single, specials = ENDS[family]
        tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=specials)
    names = {"unk_token": "[UNK]", "eos_token": "</s>", "cls_token": "[CLS]", **({"pad_token": "[PAD]"} if pad else {})}
    if chat:
        names["chat_template"] = "{% for message in messages %}a heat {{ message['content'] }} crime{% endfor %}"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, padding_side=side, **names
    ).save_pretrained(folder)


def write_model(folder: Path, family: str, **tokenizer: Any) -> Path:
    """Write a model with random weights and its tokenizer."""
    name, options = CONFIGS[family]
    cls = getattr(transformers, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        places = {} if family in ("t5", "gpt2") else {"max_position_embeddings": 64}
        model = cls(cls.config_class(**SMALL, **options, **places))
        for weight in model.parameters():
            weight.data *= 4  # so that positions and neighbours matter
        model.save_pretrained(folder)
    write_tokenizer(folder, family, **tokenizer)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a tiny model, written once."""
    made: dict[str, Path] = {}

    def folder(family: str, **tokenizer: Any) -> Path:
        key = f"{family}{sorted(tokenizer.items())}"
        if key not in made:
            made[key] = write_model(tmp_path_factory.mktemp(family), family, **tokenizer)
        return made[key]

    return folder


def catalogue(texts: list[str | None]) -> Dataset:
    """Return a dataset of items with these titles and without users."""
    ids = [f"item {place}" for place in range(len(texts))]
    titles = pl.Series("title", texts, dtype=pl.String)
    items = pl.DataFrame({"item": pl.Series(ids, dtype=pl.String)}).with_columns(
        titles, text=pl.lit(None, pl.String), categories=pl.lit([], pl.List(pl.String))
    )
    users = pl.DataFrame({"user": pl.Series([], dtype=pl.String)})
    return Dataset(
        item_ids=IdMap(items["item"]), user_ids=IdMap(users["user"]), items=items, users=users, log=Histories.empty(0)
    )


def cosines(one: Any, other: Any) -> Any:
    return np.asarray(one) @ np.asarray(other).T
