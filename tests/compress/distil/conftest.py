"""A tiny teacher: two layers of BERT, with a tokenizer that knows some words."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from twofold.compress.distil import Reader, Texts

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrst"]


def bert(**changes: Any) -> BertModel:
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32, **changes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, pad_token_id=0, **sizes)
        model = BertModel(config, add_pooling_layer=False)
        for weight in model.parameters():
            weight.data *= 4  # so that positions and neighbours matter
        model.embeddings.word_embeddings.weight.data *= 3
    return model.eval()


class Pooled(torch.nn.Module):
    """The mean of a transformer's token vectors."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        shares = attention_mask[:, :, None].to(states.dtype)
        return torch.nn.functional.normalize((states * shares).sum(dim=1), dim=1)


def network(module: torch.nn.Module) -> Any:
    def run(feed):
        with torch.no_grad():
            return module(**{name: torch.from_numpy(array) for name, array in feed.items()}).numpy()

    return run


@dataclass
class World:
    teacher: Pooled
    reader: Reader
    texts: Texts
    vectors: np.ndarray


def make_reader(max_tokens: int = 16) -> Reader:
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    return Reader(tokenizer.to_str(), max_tokens)


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(0)
    said = [" ".join(rng.choice(WORDS[4:], rng.integers(1, 9))) for _ in range(80)]
    reader = make_reader()
    texts = Texts.read(said, reader)
    teacher = Pooled(bert())
    feed = texts.feed(np.arange(len(texts.lengths)))
    return World(teacher, reader, texts, network(teacher)(feed))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    bert().save_pretrained(folder)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(make_reader().spelled()), model_max_length=16, **names
    ).save_pretrained(folder)
    return folder
