from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.encoders.text.test_pairs import answered, dataset_of
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from twofold.core.errors import ArtifactError, ConfigError, DataError
from twofold.encoders.text.finetune import FineTune, finetune
from twofold.encoders.text.pairs import pairs_of
from twofold.encoders.text.tuning import PairTask

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", "title", "q", "one", "two", "plot"]
KINDS = {"cat": "abcd", "dog": "efgh"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **names).save_pretrained(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
        )
        BertModel(config).save_pretrained(path)
    return path


@pytest.fixture
def make_model(folder):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    def make():
        transformer = Transformer(str(folder))
        return SentenceTransformer(modules=[transformer, Pooling(16), Normalize()], device="cpu")

    return make


@pytest.fixture(scope="module")
def pairs():
    """People like either a to d or e to h."""
    rng = np.random.default_rng(0)
    lists = [rng.permutation(4) + 4 * (user % 2) for user in range(40)]
    data = dataset_of(lists, [f"title {letter}" for letter in "abcdefgh"])
    return pairs_of(data, FineTune(steps=1, held_out=0.0), rng=0)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def contrast_of(model):
    """How much more alike the texts of one taste are than those of both."""
    vectors = model.encode([f"title {letter}" for letter in "abcdefgh"], show_progress_bar=False)
    likeness = vectors @ vectors.T
    return likeness[:4, :4].mean() - likeness[:4, 4:].mean()


@pytest.mark.parametrize(("lora", "lr", "steps"), [(0, 5e-3, 40), (8, 1e-2, 150)])
def test_what_is_liked_together_comes_closer(make_model, pairs, lora, lr, steps):
    model = make_model()
    before, names = contrast_of(model), list(model.state_dict())
    finetune(model, pairs, FineTune(steps=steps, lr=lr, lora=lora, batch_size=8), seed=1)
    assert contrast_of(model) > before + 0.3
    assert list(model.state_dict()) == names
    assert all(value.requires_grad for value in model.parameters())


def test_a_killed_fine_tuning_goes_on_to_the_same_bits(make_model, pairs, tmp_path, monkeypatch):
    options = FineTune(steps=6, batch_size=8, lora=2)
    training = replace(options.training, checkpoint_minutes=0.0)
    monkeypatch.setattr(FineTune, "training", property(lambda _: training))
    whole = make_model()
    finetune(whole, pairs, options, seed=1)
    real, calls = PairTask.backward, []

    def failing(self, batch):
        calls.append(batch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(PairTask, "backward", failing)
    with pytest.raises(KeyboardInterrupt):
        finetune(make_model(), pairs, options, seed=1, checkpoint=tmp_path / "c")
    resumed = make_model()
    finetune(resumed, pairs, options, seed=1, checkpoint=tmp_path / "c")
    assert len(calls) == 4 + 3
    assert same(weights_of(whole), weights_of(resumed))


def test_a_checkpoint_of_other_options_is_refused(make_model, pairs, tmp_path):
    finetune(make_model(), pairs, FineTune(steps=1), seed=1, checkpoint=tmp_path / "c")
    with pytest.raises(ArtifactError, match="another tuning;"):
        finetune(make_model(), pairs, FineTune(steps=1, temperature=0.1), seed=1, checkpoint=tmp_path / "c")


def test_cached_gradients_are_those_of_the_whole_batch(make_model, pairs):
    found = []
    for part in (64, 3):
        model = make_model().eval()
        task = PairTask(model, pairs, FineTune(steps=1, batch_size=16, part=part, temperature=1.0))
        task.backward(task.batches(0, np.random.default_rng(0))[0])
        found.append([value.grad for value in model.parameters() if value.grad is not None])
    for left, right in zip(*found, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-4)


def test_frozen_layers_stay(make_model, pairs):
    model = make_model()
    before = weights_of(model)
    finetune(model, pairs, FineTune(steps=2, frozen_layers=1, lr=1e-2), seed=1)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("layer.1." in name for name in changed if "LayerNorm" not in name)
    assert not any("layer.0." in name or "word_embeddings" in name for name in changed)
    with pytest.raises(ConfigError, match="has 2 layers, fewer than frozen_layers = 3"):
        finetune(make_model(), pairs, FineTune(steps=1, frozen_layers=3), seed=1)


def test_matryoshka_dimensions(make_model, pairs):
    finetune(make_model(), pairs, FineTune(steps=1, dimensions=(4, 16)), seed=1)
    with pytest.raises(ConfigError, match="have 16 dimensions, fewer than 32"):
        finetune(make_model(), pairs, FineTune(steps=1, dimensions=(32,)), seed=1)


def test_searches_learn_from_hard_negatives(make_model):
    data = answered(dataset_of([], [f"title {letter}" for letter in "abcdefgh"]))
    options = FineTune(steps=1, held_out=0.0)
    pairs = pairs_of(data, options, rng=0, search=lambda texts: np.array([[4, 5]] * len(texts), np.int32))
    (batch,) = PairTask(make_model(), pairs, options).batches(0, np.random.default_rng(0))
    assert set(batch.hard) <= {4, 5}
    assert len(batch.hard)
    assert np.isfinite(PairTask(make_model(), pairs, options).backward(batch))


def test_searches_are_encoded_with_the_prompt_of_queries(make_model):
    model, said = make_model(), []
    model.prompts = {"query": "one ", "document": "two "}
    preprocess = model.preprocess
    model.preprocess = lambda texts: said.extend(texts) or preprocess(texts)
    data = answered(dataset_of([], [f"title {letter}" for letter in "abcdefgh"]))
    options = FineTune(steps=1, held_out=0.0)
    finetune(model, pairs_of(data, options, rng=0), options, seed=1)
    assert {"one q one", "two title a"} <= set(said)


def test_held_out_quality_is_the_reciprocal_rank(make_model):
    rng = np.random.default_rng(0)
    lists = [rng.permutation(4) + 4 * (user % 2) for user in range(40)]
    options = FineTune(steps=1, held_out=0.3)
    pairs = pairs_of(dataset_of(lists, [f"title {letter}" for letter in "abcdefgh"]), options, rng=0)
    model = make_model()
    task = PairTask(model.eval(), pairs, options)
    (held,) = pairs.held_out
    vectors = model.encode(list(pairs.texts), show_progress_bar=False)
    expected = []
    for anchor, positive in zip(held.pairs.anchors, held.pairs.positives, strict=True):
        scores = vectors[held.candidates] @ vectors[anchor]
        expected.append(1 / (1 + (scores > vectors[positive] @ vectors[anchor] + 1e-6).sum()))
    with torch.no_grad():
        assert task.quality() == pytest.approx(np.mean(expected), abs=1e-4)


def test_nothing_to_learn_from(make_model):
    empty = pairs_of(dataset_of([[0]], ["title a"]), FineTune(steps=1), rng=0)
    with pytest.raises(DataError, match="no pair of texts"):
        finetune(make_model(), empty, FineTune(steps=1), seed=1)
