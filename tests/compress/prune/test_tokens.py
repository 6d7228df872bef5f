import pytest
import torch

from twofold.compress.prune import drop_rows, drop_tokens
from twofold.core.errors import ConfigError

TEXTS = ["heat crime", "drama a"]
KEPT = ["[PAD]", "[UNK]", "[CLS]", "</s>", *"abcdefgh", "heat", "crime", "drama"]


@pytest.mark.parametrize("family", ["bert", "gpt", "t5"])
def test_texts_keep_their_vectors_in_a_smaller_table(make_model, states, tokenizer, family):
    whole, model = make_model(family), make_model(family)
    smaller = drop_tokens(model, tokenizer, TEXTS)
    assert smaller.backend_tokenizer.truncation["max_length"] == 32
    assert smaller.convert_ids_to_tokens(range(len(smaller))) == KEPT
    feeds = [one(TEXTS, padding=True) for one in (tokenizer, smaller)]
    assert torch.equal(states(model, feeds[1]), states(whole, feeds[0]))
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == len(KEPT)
    assert (model.config.pad_token_id, tokenizer.pad_token_id, smaller.pad_token_id) == (0, 1, 0)
    assert smaller("heat").input_ids == [2, 12, 3]
    assert smaller("strange").input_ids == [2, 1, 3]
    assert (smaller.cls_token, smaller.model_max_length, smaller.padding_side) == ("[CLS]", 32, "right")
    assert tokenizer("heat").input_ids == [4, 15, 6]


def test_the_table_of_a_t5_stays_one(make_model, tokenizer):
    model = make_model("t5")
    drop_tokens(model, tokenizer, TEXTS)
    assert model.shared.weight is model.encoder.embed_tokens.weight


@pytest.mark.parametrize("tied", [True, False])
def test_a_gpt_says_the_same_with_fewer_words(make_model, tokenizer, tied):
    whole, model = (make_model("gpt", tie_word_embeddings=tied) for _ in range(2))
    smaller = drop_tokens(model, tokenizer, TEXTS)
    ids = [torch.tensor([one("heat crime").input_ids]) for one in (tokenizer, smaller)]
    kept = tokenizer.convert_tokens_to_ids(KEPT)
    with torch.no_grad():
        logits = [model(ids[1]).logits, whole(ids[0]).logits[..., kept]]
    assert torch.allclose(*logits, atol=1e-6)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    assert model.lm_head.out_features == len(KEPT)
    assert (model.config.bos_token_id, model.config.eos_token_id) == (2, 3)
    assert (model.generation_config.bos_token_id, model.generation_config.eos_token_id) == (2, 3)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ([], "do not fit a table of 20 rows"),
        ([3, 1], "do not fit"),
        ([1, 20], "do not fit"),
        ([0, 2], "pad_token_id is token 1, which must stay"),
    ],
)
def test_rows_that_cannot_be_kept_alone_are_refused(make_model, kept, reason):
    model = make_model("bert")
    with pytest.raises(ConfigError, match=reason):
        drop_rows(model, kept)
    assert model.config.vocab_size == 20


def test_an_output_layer_with_a_bias_is_refused(make_model):
    with pytest.raises(ConfigError, match="BertForMaskedLM has an output layer with a bias"):
        drop_rows(make_model("bert", name="BertForMaskedLM"), [1, 2])


def test_positions_that_begin_behind_the_padding_token_stay(make_model, states, tokenizer):
    options = {"name": "RobertaModel", "hidden_act": "gelu", "bos_token_id": 4, "eos_token_id": 6}
    whole, model = (make_model("bert", **options) for _ in range(2))
    smaller = drop_tokens(model, tokenizer, TEXTS)
    assert smaller.convert_ids_to_tokens([0, 1]) == ["x0", "[PAD]"]
    feeds = [one(TEXTS, padding=True) for one in (tokenizer, smaller)]
    assert torch.equal(states(model, feeds[1]), states(whole, feeds[0]))
    with pytest.raises(ConfigError, match="positions begin behind the padding token"):
        drop_rows(make_model("bert", **options), [1, 4, 6])
