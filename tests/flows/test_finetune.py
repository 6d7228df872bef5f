import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Histories, IdMap
from twofold.core.errors import ConfigError
from twofold.encoders.text.finetune import FineTune
from twofold.flows import finetune_encoder
from twofold.flows.finetune import lexical_search

TITLES = ["red apple", "green apple", "red pear", "blue car", "green car", "blue bus"]


@pytest.fixture(scope="module")
def data():
    items = pl.DataFrame({"item": np.arange(6), "title": TITLES}).with_columns(
        text=pl.lit(None, pl.String), categories=pl.Series([[]] * 6, dtype=pl.List(pl.String))
    )
    queries = pl.DataFrame({"text": ["apple please", "a bus"], "item": [0, 5]})
    users = pl.Series("user", np.arange(4))
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(users),
        items=items,
        users=users.to_frame(),
        log=Histories.from_lists([[0, 1, 2], [3, 4, 5], [2, 1], [5, 4]]),
    ).with_queries(queries)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = [
        "[PAD]",
        "[UNK]",
        *sorted({word for title in TITLES for word in title.split()}),
        "please",
        "a",
        ".",
        *"bcdefgh",
    ]
    path = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=16, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=len(words), max_position_embeddings=16, **sizes)
        transformers.BertModel(config).save_pretrained(path)
    return path


def test_the_model_is_a_folder_of_sentence_transformers(data, folder, tmp_path):
    from sentence_transformers import SentenceTransformer

    said = []
    report = finetune_encoder(
        data,
        tmp_path / "tuned",
        FineTune(steps=3, batch_size=4, held_out=0.4, max_tokens=8),
        model=str(folder),
        progress=lambda what, done, of: said.append((what, done, of)),
    )
    vectors = SentenceTransformer(str(tmp_path / "tuned"), device="cpu").encode(TITLES, show_progress_bar=False)
    before = SentenceTransformer(str(folder), device="cpu").encode(TITLES, show_progress_bar=False)
    assert report.steps == 3
    assert vectors.shape == before.shape == (6, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert said[-1][1:] == (3, 3)


def test_an_unknown_model_is_one_sentence(data, tmp_path):
    with pytest.raises(ConfigError):
        finetune_encoder(data, tmp_path / "tuned", FineTune(steps=1), model=str(tmp_path / "nowhere"))


def test_lexical_search_finds_by_words(data):
    found = lexical_search(data)(["pear", "nothing alike"])
    assert found[0, 0] == 2
    assert (found[1] == -1).all()
