import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from twofold.compress.prune import used_tokens
from twofold.core.errors import ConfigError, DataError

CORPUS = [
    "the thief and the detective",
    "a detective hunts the thieves of the city",
    "heat in the city at night",
    "lower lowest slower slow thieves",
    "naïve café owners of the newest coffee 中文",
] * 3
TEXTS = ["the detective", "slow heat in the city of thieves", "café 中文", "unknown: ☃"]
OTHERS = ["a fowl owns the tide", "hhhotel thieving"]


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
    tokenizer.add_special_tokens(["[PAD]"])  # behind all others, so that its id moves
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]")
    tokenizer.enable_truncation(5)
    return tokenizer


def byte_bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def suffix_bpe():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def fallback_bpe():
    described = json.loads(suffix_bpe().to_str())
    model = described["model"]
    model["byte_fallback"] = True
    for byte in range(256):
        model["vocab"][f"<0x{byte:02X}>"] = len(model["vocab"])
    model["merges"] = [" ".join(merge) for merge in model["merges"]]  # as older files have them
    return Tokenizer.from_str(json.dumps(described))


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=["<s>", "</s>", "<unk>"], unk_token="<unk>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    template = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    tokenizer.post_processor = processors.Sequence([template])
    return tokenizer


KINDS = [wordpiece, byte_bpe, suffix_bpe, fallback_bpe, unigram]


def ids(tokenizer, text):
    return tokenizer.encode(text).ids


def plain(tokenizer):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_read_as_before_by_a_smaller_tokenizer(kind):
    old = kind()
    described, kept = used_tokens(old.to_str(), TEXTS)
    new = Tokenizer.from_str(described)
    assert new.get_vocab_size() == len(kept) < old.get_vocab_size()
    assert kept == sorted(kept)
    assert all(new.id_to_token(place) == old.id_to_token(token) for place, token in enumerate(kept))
    for text in TEXTS:  # where texts are cut and how they are padded stays, too
        assert [kept[token] for token in ids(new, text)] == ids(old, text)
    batches = [[encoding.ids for encoding in one.encode_batch(TEXTS)] for one in (old, new)]
    assert [[kept[token] for token in row] for row in batches[1]] == batches[0]


@pytest.mark.parametrize("kind", KINDS)
def test_words_that_no_text_has_are_still_spelt(kind):
    old = plain(kind())
    described, _ = used_tokens(old.to_str(), TEXTS)
    new = plain(Tokenizer.from_str(described))
    for text in OTHERS:
        before, after = old.encode(text), new.encode(text)
        spelt = ["".join(token.replace("##", "") for token in one.tokens) for one in (before, after)]
        assert spelt[0] == spelt[1]
        assert len(after.ids) >= len(before.ids)
        unknown = [sum(token in ("[UNK]", "<unk>") for token in one.tokens) for one in (before, after)]
        assert unknown[0] == unknown[1]  # characters that the whole tokenizer does not know either


def test_what_stays_whatever_the_texts_use():
    old = wordpiece()
    described, kept = used_tokens(old.to_str(), ["the"], also=[60])
    new = Tokenizer.from_str(described)
    names = {new.id_to_token(place) for place in range(len(kept))}
    assert {"[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "the", old.id_to_token(60)} <= names
    assert {name for name in old.get_vocab() if len(name.removeprefix("##")) == 1} <= names
    assert "detective" not in names


def test_all_bytes_stay():
    new = Tokenizer.from_str(used_tokens(byte_bpe().to_str(), ["the"])[0])
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= new.get_vocab().keys()
    assert new.decode(new.encode("☃ snow").ids) == "☃ snow"
    new = Tokenizer.from_str(used_tokens(fallback_bpe().to_str(), ["the"])[0])
    assert {f"<0x{byte:02X}>" for byte in range(256)} <= new.get_vocab().keys()


def test_the_steps_to_a_longer_token_stay():
    described = json.loads(used_tokens(suffix_bpe().to_str(), ["detective"])[0])
    assert "detective</w>" in described["model"]["vocab"]
    made = {left + right for left, right in described["model"]["merges"]}
    assert "detective</w>" in made
    assert all(
        part in made or len(part.removesuffix("</w>")) == 1 for merge in described["model"]["merges"] for part in merge
    )


def test_texts_are_read_behind_where_they_are_cut():
    text = "a a a a a a a a detective"
    described, _ = used_tokens(wordpiece().to_str(), [text])
    assert "detective" in Tokenizer.from_str(described).get_vocab()


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(DataError, match="at least one text"):
        used_tokens(wordpiece().to_str(), [])
    with pytest.raises(ConfigError, match="cannot be read"):
        used_tokens("{}", ["a"])
    prefixed = Tokenizer(models.BPE(vocab={"a": 0}, merges=[], continuing_subword_prefix="##"))
    with pytest.raises(ConfigError, match="cannot be cut"):
        used_tokens(prefixed.to_str(), ["a"])


def test_words_that_are_whole_in_the_vocabulary_need_no_merges():
    described = json.loads(byte_bpe().to_str())
    described["model"]["ignore_merges"] = True
    described["model"]["vocab"]["zqz"] = len(described["model"]["vocab"])
    old = Tokenizer.from_str(json.dumps(described))
    smaller, kept = used_tokens(old.to_str(), ["zqz zq"])
    assert [kept[token] for token in ids(Tokenizer.from_str(smaller), "zqz zq")] == ids(old, "zqz zq")


def test_a_tokenizer_that_would_read_otherwise_is_refused(monkeypatch):
    def forget(model, *_):
        model["merges"] = []
        return set()

    monkeypatch.setattr("twofold.compress.prune.vocabulary._join", forget)
    with pytest.raises(ConfigError, match="it would read 'the detective' otherwise"):
        used_tokens(byte_bpe().to_str(), TEXTS)
