from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from twofold.core import Batch, Dataset, Evidence, Histories, IdMap, Retriever, SparseScores

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "rose", "blue", "whale", "green", "frog"]
WORDS += ["flower", "mammal", "amphibian", ".", "a", "b"]


class Fixed(Retriever):
    """Finds the same items for every text, the first with the largest score."""

    evidence = ("text",)

    def __init__(self, items: Sequence[int]) -> None:
        super().__init__()
        self.items = np.array(items, np.int32)

    def fit(self, dataset: Dataset, *, rng: object = None) -> "Fixed":
        return self

    def score(self, batch: Batch, evidence: Evidence) -> SparseScores:
        count = len(batch)
        return SparseScores(
            Histories(
                indptr=np.arange(count + 1) * len(self.items),
                items=np.tile(self.items, count),
                values=np.tile(np.arange(len(self.items), 0, -1, dtype=np.float32), count),
                timestamps=np.zeros(count * len(self.items), np.int64),
            )
        )


@pytest.fixture
def dataset() -> Dataset:
    items = pl.DataFrame(
        {
            "item": ["r", "w", "f", "n"],
            "title": ["red rose", "blue whale", "green frog", None],
            "text": ["a flower.", "a mammal.", "an amphibian.", None],
            "categories": [[], [], [], []],
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )
    queries = pl.DataFrame(
        {
            "text": ["a b", "a b", "b b", "a a", "b b", " ", "b a"],
            "item": ["r", "w", "f", "w", "f", "r", "w"],
            "grade": [1.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0],
        }
    )
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series("user", [], dtype=pl.String)),
        items=items,
        users=pl.DataFrame({"user": []}, schema={"user": pl.String}),
        log=Histories.empty(0),
    ).with_queries(queries)


@pytest.fixture(scope="session")
def spelled() -> str:
    """A tokenizer.json of whole words, with a BERT's special tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer.to_str()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, spelled: str) -> Path:
    """A BERT of two layers with random weights, as a Hugging Face folder."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("models") / "bert"
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(spelled, encoding="utf-8")
    return folder
