"""Tiny random generators of both families, which babble."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from twofold.core import Dataset, Histories, IdMap

MARKS = ["<pad>", "<unk>", "</s>", "<s>", ":", "."]
ASKED = ["user", "system", "assistant", "write", "question", "what", "you", "liked", "because"]
FILMS = ["heat", "alien", "toy", "story", "2", "shrek", "film", "crime", "comedy", "robot", "space", "doll", "ogre"]
WORDS = [*MARKS, *ASKED, *FILMS, "it", "is", "a", "the", "of", "and"]
TEMPLATE = "{% for m in messages %}{{ m.role + ' : ' + m.content + ' ' }}{% endfor %}assistant : "


def write_generator(folder: Path, family: str) -> Path:
    """Write a model of the family `gpt`, `chat` (one that knows conversations) or `t5`."""
    size = {"vocab_size": len(WORDS), "pad_token_id": 0, "eos_token_id": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if family == "t5":
            config = T5Config(**size, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0)
            model = T5ForConditionalGeneration(config)
        else:
            config = LlamaConfig(
                **size,
                bos_token_id=3,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                intermediate_size=32,
                max_position_embeddings=128,
            )
            model = LlamaForCausalLM(config)
        for weight in model.parameters():
            weight.data *= 4
        model.save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    if family == "t5":
        tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", bos_token="<s>", pad_token="<pad>"
    )
    if family == "chat":
        fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a model of each family."""
    place = tmp_path_factory.mktemp("generators")
    return {family: write_generator(place / family, family) for family in ("gpt", "chat", "t5")}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower with more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


Films = Callable[..., Dataset]


@pytest.fixture(scope="session")
def films() -> Films:
    """Make a catalogue of titles, with categories and texts, and items liked together by some users."""

    def make(
        titles: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
        texts: Sequence[str | None] | None = None,
        likes: Sequence[Sequence[int]] = (),
    ) -> Dataset:
        ids = pl.Series([f"i{code}" for code in range(len(titles))], dtype=pl.String)
        users = IdMap(pl.Series([f"u{user}" for user in range(len(likes))], dtype=pl.String))
        items = pl.DataFrame(
            {
                "item": ids,
                "title": pl.Series(titles, dtype=pl.String),
                "text": pl.Series(texts or [None] * len(titles), dtype=pl.String),
                "categories": pl.Series(categories or [None] * len(titles), dtype=pl.List(pl.String)),
            }
        )
        return Dataset(
            item_ids=IdMap(ids),
            user_ids=users,
            items=items,
            users=pl.DataFrame({"user": users.ids}),
            log=Histories.from_lists(likes),
        )

    return make
