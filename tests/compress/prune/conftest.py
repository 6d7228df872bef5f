import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ["x0", "[PAD]", "x1", "[UNK]", "[CLS]", "x2", "</s>", *"abcdefgh", "heat", "crime", "x3", "drama", "x4"]
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": (
        "BertModel",
        {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24},
    ),
    "gpt": (
        "LlamaForCausalLM",
        {
            "hidden_size": 12,
            "num_hidden_layers": 3,
            "num_attention_heads": 6,
            "num_key_value_heads": 3,
            "head_dim": 4,
            "intermediate_size": 24,
            "bos_token_id": 4,
            "eos_token_id": 6,
            "tie_word_embeddings": True,
        },
    ),
    "t5": (
        "T5EncoderModel",
        {
            "d_model": 16,
            "d_kv": 6,
            "d_ff": 24,
            "num_layers": 3,
            "num_heads": 4,
            "decoder_start_token_id": 1,
            "eos_token_id": 6,
            "feed_forward_proj": "gated-gelu",
        },
    ),
}
TOKENS = {
    "input_ids": np.array([[4, 15, 16, 6], [4, 7, 6, 1]]),
    "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


@pytest.fixture
def make_model() -> Callable[..., Any]:
    """Return a tiny model of a family with random weights."""

    def make(family: str, *, name: str = "", **changes: Any) -> Any:
        usual, sizes = SIZES[family]
        cls = getattr(transformers, name or usual)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = cls(cls.config_class(**{"vocab_size": len(WORDS), "pad_token_id": 1, **sizes, **changes}))
            for value in model.parameters():
                value.data += torch.randn_like(value) * 0.3  # so that biases and positions matter
        return model.eval()

    return make


@pytest.fixture
def states() -> Callable[..., Any]:
    """Return what a model makes of some tokens, [b, l, d], without padding."""

    def run(model: Any, feed: Any = TOKENS) -> Any:
        mask = torch.from_numpy(np.asarray(feed["attention_mask"]))
        body = model.model if hasattr(model, "lm_head") else model
        with torch.no_grad():
            out = body(input_ids=torch.from_numpy(np.asarray(feed["input_ids"])), attention_mask=mask)
        return out.last_hidden_state * mask[..., None]

    return run


@pytest.fixture
def tokenizer() -> Iterator[Any]:
    """Return a tokenizer that knows `WORDS`."""
    backend = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(single="[CLS] $A </s>", special_tokens=[("[CLS]", 4), ("</s>", 6)])
    backend.enable_padding(pad_id=1, pad_token="[PAD]")
    backend.enable_truncation(32)
    names = {"unk_token": "[UNK]", "eos_token": "</s>", "cls_token": "[CLS]", "pad_token": "[PAD]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=32, **names)
