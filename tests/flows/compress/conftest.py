"""What tests of compressing share: a tiny model in a folder, and little patience."""

import string
from collections.abc import Sequence
from pathlib import Path

import pytest

from twofold.compress.measure import Rounds
from twofold.flows.compress.weighing import Pace
from twofold.train.silence import silent

HEADS, WIDTH = 4, 32
CROSS_ENCODER = {
    "kind": "cross-encoder",
    "lexical": "lexical",
    "epochs": 1,
    "invented": 0,
    "held_out": 0.0,
    "max_tokens": 48,
    "wrong": 1,
    "threads": 1,
}
"""Options of a cross-encoder that is trained in a moment; its model is to be named."""
QUICK = Pace(one=Rounds(seconds=0.01, least=2, most=3), many=Rounds(seconds=0.01, least=2, most=3))


def write_bert(folder: Path, words: Sequence[str]) -> Path:
    """Write a BERT of two layers with random weights, as a Hugging Face folder that knows some words."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from tokenizers import Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing

    listed = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *string.ascii_lowercase, *words])
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(listed)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = transformers.BertConfig(
        vocab_size=len(listed),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=64,
        max_position_embeddings=160,
    )
    with torch.random.fork_rng(devices=[]), silent():
        torch.manual_seed(0)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            model_max_length=160,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
        ).save_pretrained(folder)
    return folder
