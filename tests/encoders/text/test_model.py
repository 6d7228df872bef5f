import json
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tests.encoders.text.conftest import FAMILIES, WORDS, write_tokenizer
from transformers import AutoModel, T5EncoderModel

from twofold.core.errors import ConfigError
from twofold.encoders.text.model import load_model, save_model
from twofold.encoders.text.runtime import OnnxEncoder

TEXTS = ["a", "heat crime", "a b c d e f g h", "z y x", " ".join("abcdefghij" * 6), "中 文 heat", "nobody knows", "q ."]


@pytest.fixture(params=FAMILIES, ids="-".join)
def family(request):
    return request.param


def by_hand(folder, text, pooling):
    """The vector of one text without padding, from the plain transformer."""
    cls = T5EncoderModel if "t5" in folder.name else AutoModel
    model = cls.from_pretrained(folder).eval()
    with open(folder / "tokenizer.json") as file:
        vocabulary = json.load(file)["model"]["vocab"]
    ids = [vocabulary.get(word, 1) for word in text.split()]
    ids = {"bert": [2, *ids, 3], "t5": [*ids, 3]}.get(model.config.model_type, ids)
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    vector = {"mean": states.mean(axis=0), "cls": states[0], "last": states[-1]}[pooling]
    return vector / np.linalg.norm(vector)


def test_vectors_are_those_of_the_plain_model(family, model_folder):
    name, pooling = family
    folder = model_folder(name)
    found = load_model(folder, pooling=pooling).encode(TEXTS[:4], batch_size=4)
    np.testing.assert_allclose(found, [by_hand(folder, text, pooling) for text in TEXTS[:4]], atol=1e-5)


@pytest.mark.parametrize("tokenizer", [{"side": "left"}, {"pad": False}, {"side": "left", "pad": False}])
@pytest.mark.parametrize(("name", "pooling"), [("gpt2", "last"), ("gpt2", "mean"), ("llama", "last")])
def test_a_decoder_may_pad_left_or_have_no_token_to_pad_with(name, pooling, tokenizer, model_folder):
    folder = model_folder(name, **tokenizer)
    found = load_model(folder, pooling=pooling).encode(TEXTS[:4], batch_size=4)
    np.testing.assert_allclose(found, [by_hand(folder, text, pooling) for text in TEXTS[:4]], atol=1e-5)


def test_graph_and_saved_folder_give_what_torch_gives(family, model_folder, tmp_path):
    name, pooling = family
    model = load_model(model_folder(name), pooling=pooling)
    save_model(model, tmp_path)
    expected = np.concatenate([model.encode([text]) for text in TEXTS])
    for batch_size in (1, 8):
        found = OnnxEncoder(tmp_path, threads=1, batch_size=batch_size).encode(TEXTS)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    plain = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    np.testing.assert_allclose(plain.encode(TEXTS, batch_size=8), expected, atol=1e-5)
    assert not list(tmp_path.rglob("*.bin"))


def test_a_chat_template_is_left_out(model_folder, tmp_path):
    folder = model_folder("llama", chat=True)
    assert "message" in SentenceTransformer(str(folder), device="cpu", local_files_only=True)[0].modalities
    model = load_model(folder, pooling="last")
    save_model(model, tmp_path)
    expected = [by_hand(folder, text, "last") for text in TEXTS[:4]]
    plain = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    np.testing.assert_allclose(model.encode(TEXTS[:4]), expected, atol=1e-5)
    np.testing.assert_allclose(plain.encode(TEXTS[:4]), expected, atol=1e-5)
    np.testing.assert_allclose(OnnxEncoder(tmp_path, threads=1).encode(TEXTS[:4]), expected, atol=1e-4)


def test_a_folder_says_its_pooling_and_keeps_it_when_saved(model_folder, tmp_path):
    model = load_model(model_folder("bert"), pooling="cls", max_tokens=16)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again[1].pooling_mode == "cls"
    assert again.max_seq_length == 16
    assert [type(module).__name__ for module in again] == ["Transformer", "Pooling", "Normalize"]


def test_saving_leaves_the_model_as_it_was(model_folder, tmp_path):
    model = load_model(model_folder("bert")).train()
    before = model[0].auto_model.config._attn_implementation
    save_model(model, tmp_path)
    assert model.training
    assert model[0].auto_model.config._attn_implementation == before


@pytest.mark.parametrize("words", [[*WORDS, "one too many"], WORDS[:20]])
def test_another_models_tokenizer_is_refused(words, model_folder, tmp_path):
    shutil.copytree(model_folder("bert"), tmp_path, dirs_exist_ok=True)
    write_tokenizer(tmp_path, "bert", words=words)
    with pytest.raises(ConfigError, match=f"{len(words)} tokens and the model's table {len(WORDS)} rows"):
        load_model(tmp_path)


def test_more_tokens_than_the_model_takes_are_refused(model_folder):
    with pytest.raises(ConfigError, match="max_tokens = 65 is more than the 64"):
        load_model(model_folder("gpt2"), max_tokens=65)


def test_a_damaged_folder_is_one_sentence(model_folder, tmp_path):
    shutil.copytree(model_folder("bert"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read as a text encoder"):
        load_model(tmp_path)


def test_loading_prints_nothing(model_folder, capfd):
    load_model(model_folder("t5"))
    assert capfd.readouterr() == ("", "")
