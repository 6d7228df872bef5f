import warnings

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoModel, LlamaConfig, LlamaModel, T5Config, T5EncoderModel

from twofold.compress.distil import TextVectors, fewer_layers, narrower, principal, strongest
from twofold.compress.distil.stack import check_finite, check_smaller, layers_of, size_of
from twofold.core.errors import ConfigError

from .conftest import WORDS, bert

IDS, MASK = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def llama():
    sizes = {"hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 32}
    return LlamaModel(LlamaConfig(vocab_size=len(WORDS), num_hidden_layers=3, **sizes)).eval()


def t5():
    return T5EncoderModel(
        T5Config(vocab_size=len(WORDS), d_model=16, d_kv=4, d_ff=32, num_layers=3, num_heads=4)
    ).eval()


def states(model):
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK).last_hidden_state


@pytest.mark.parametrize("make", [bert, llama, t5])
def test_fewer_layers_of_every_family_and_their_config_is_true(make, tmp_path):
    teacher = make()
    whole = states(teacher)
    torch.testing.assert_close(states(fewer_layers(teacher, [0, 1, 2])), whole)
    student = fewer_layers(teacher, [1, 2])
    assert len(layers_of(student)) == student.config.num_hidden_layers == 2
    assert size_of(student) < size_of(teacher)
    torch.testing.assert_close(states(teacher), whole)  # the teacher stays as it was
    student.save_pretrained(tmp_path)
    again = type(teacher).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(states(again), states(student))


def test_the_kept_layers_are_the_teachers():
    teacher = bert()
    with torch.no_grad():
        inner = teacher(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    torch.testing.assert_close(states(fewer_layers(teacher, [0, 1])), inner[2])


def test_a_t5_keeps_its_distances():
    teacher, student = t5(), fewer_layers(t5(), [2])
    assert states(student).isfinite().all()
    attention = layers_of(student)[0].layer[0].SelfAttention
    assert attention.relative_attention_bias.weight.shape == (
        layers_of(teacher)[0].layer[0].SelfAttention.relative_attention_bias.weight.shape
    )


@pytest.mark.parametrize("keep", [[], [3], [1, 0], [0, 0], [-1]])
def test_layers_that_are_not_there_are_refused(keep):
    with pytest.raises(ConfigError, match="from 0 to 2"):
        fewer_layers(bert(), keep)


def test_a_module_without_layers_is_refused():
    with pytest.raises(ConfigError, match="give a BERT, a Llama-type GPT or the encoder of a T5"):
        fewer_layers(torch.nn.Linear(1, 1), [0])


def test_damaged_and_quantised_weights_are_refused():
    teacher = bert()
    teacher.encoder.layer[1].output.dense.weight.data[0, 0] = np.nan
    with pytest.raises(ConfigError, match=r"teacher has weights that are no numbers \(encoder\.layer\.1\.output"):
        fewer_layers(teacher, [0])
    whole = torch.nn.Module()
    whole.weight = torch.nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    with pytest.raises(ConfigError, match="already quantised"):
        check_finite(whole, "the teacher")


def test_a_student_larger_than_its_teacher_is_refused():
    check_smaller(bert(), bert())
    with pytest.raises(ConfigError, match=r"the student has .* and its teacher 10; give a student that is smaller"):
        check_smaller(bert(), 10)


@pytest.mark.parametrize("make", [bert, llama, t5])
@pytest.mark.parametrize("kind", [principal, strongest])
def test_narrower_of_every_family(make, kind, tmp_path):
    teacher = make()
    inner = states(teacher).reshape(-1, 16).numpy()
    student = narrower(teacher, kind(inner, 8))
    assert states(student).shape == (2, 4, 8)
    assert student.config.hidden_size == 8
    assert size_of(student) < size_of(teacher) / 2 + 1
    student.save_pretrained(tmp_path)
    again = type(teacher).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(states(again), states(student))


@pytest.mark.parametrize("make", [llama, t5])
def test_coordinates_that_are_not_used_go_without_loss(make):
    teacher = make()
    unused = torch.arange(16) >= 8
    for name, weight in teacher.named_parameters():
        weight.data *= 1 if make is t5 or "norm" in name else 20  # so that the norms' epsilon is small
        if name.endswith(("embed_tokens.weight", "shared.weight")):
            weight.data[:, unused] = 0
        if name.endswith(("o_proj.weight", "down_proj.weight", ".o.weight", ".wo.weight")):
            weight.data[unused] = 0
    student = narrower(teacher, np.eye(16, 8, dtype=np.float32), inner=32)
    torch.testing.assert_close(states(student), states(teacher)[:, :, :8], atol=1e-3, rtol=1e-3)


def test_slicing_copies_the_teachers_numbers():
    teacher = bert()
    basis = strongest(states(teacher).reshape(-1, 16).numpy(), 8)
    kept = basis.argmax(axis=0)
    student = narrower(teacher, basis)
    table = teacher.embeddings.word_embeddings.weight.detach()
    torch.testing.assert_close(student.embeddings.word_embeddings.weight.detach(), table[:, kept])


def test_widths_that_do_not_suit_are_refused():
    with pytest.raises(ConfigError, match="no whole heads of 4"):
        narrower(bert(), np.eye(16, 6, dtype=np.float32))
    with pytest.raises(ConfigError, match="does not fit a model 16 wide"):
        narrower(bert(), np.eye(8, 4, dtype=np.float32))
    with pytest.raises(ConfigError, match="does not fit a model 16 wide"):
        narrower(bert(), np.eye(16, dtype=np.float32))
    with pytest.raises(ConfigError, match="fewer than inner = 33"):
        narrower(bert(), np.eye(16, 8, dtype=np.float32), inner=33)
    with pytest.raises(ConfigError, match="no model of the transformers library"):
        narrower(torch.nn.Linear(1, 1), np.eye(1, dtype=np.float32))


@pytest.fixture
def sentence_model(model_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformer = Transformer(str(model_folder))
    return SentenceTransformer(modules=[transformer, Pooling(16, pooling_mode="mean"), Normalize()], device="cpu")


def test_sentence_transformers_models_stay_so(sentence_model, tmp_path):
    feed = {"input_ids": IDS, "attention_mask": MASK}
    short = fewer_layers(sentence_model, [0, 2])
    assert short[0].auto_model.config.num_hidden_layers == 2
    basis = strongest(states(sentence_model[0].auto_model).reshape(-1, 16).numpy(), 8)
    narrow, projected = narrower(sentence_model, basis), narrower(sentence_model, basis, project=True)
    for student, width in ((short, 16), (narrow, 8), (projected, 16)):
        with torch.no_grad():
            vectors = TextVectors(student).eval()(**feed)
        assert vectors.shape == (2, width)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
        folder = tmp_path / str(id(student))
        student.save(str(folder), create_model_card=False)
        again = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        with torch.no_grad():
            torch.testing.assert_close(TextVectors(again).eval()(**feed), vectors)
    with torch.no_grad():  # what is projected back says what the narrow one says
        torch.testing.assert_close(
            TextVectors(projected)(**feed) @ torch.from_numpy(basis), TextVectors(narrow)(**feed), atol=1e-5, rtol=0
        )
    assert isinstance(AutoModel.from_pretrained(folder), type(short[0].auto_model))
