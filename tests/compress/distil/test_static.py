import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from twofold.compress.distil import (
    Distil,
    Lesson,
    Static,
    distil,
    fit_table,
    mean_cosine,
    outputs,
    save_static,
    static_student,
    table_graph,
)
from twofold.compress.distil.static import token_weights
from twofold.core.errors import ConfigError, DataError
from twofold.encoders.text.runtime import OnnxEncoder
from twofold.train import Training

from .conftest import WORDS, make_reader, network


@pytest.fixture(scope="module")
def student(world):
    return static_student(network(world.teacher), world.reader, world.texts, world.vectors, Static(dimensions=8))


def test_a_text_is_the_weighted_mean_of_its_tokens(student):
    with torch.no_grad():
        found = student(torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]))
    rows, weights = student.table.detach().numpy(), student.weights.detach().numpy()
    expected = rows[5] * weights[5] + rows[6] * weights[6]
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected), rtol=1e-4)
    np.testing.assert_allclose(found[1], rows[7] / np.linalg.norm(rows[7]), rtol=1e-4)


def test_the_table_is_the_teachers_view_of_single_tokens(world):
    student = static_student(
        network(world.teacher), world.reader, world.texts, world.vectors, Static(dimensions=0, weighting="none")
    )
    feed = {"input_ids": np.array([[2, 4, 3], [2, 9, 3]]), "attention_mask": np.ones((2, 3), np.int64)}
    said = network(world.teacher)(feed)
    rows = student.table.detach().numpy()[[4, 9]]
    np.testing.assert_allclose(rows[0] - rows[1], said[0] - said[1], atol=1e-5)
    assert student.basis is None


def test_a_narrow_student_is_found_among_the_teachers_numbers(world):
    student = static_student(network(world.teacher), world.reader, world.texts, world.vectors, Static(dimensions=4))
    spread, folded = student.spread(), student.folded()
    assert (folded.shape[1], spread.shape[1]) == (4, world.vectors.shape[1])
    np.testing.assert_allclose(spread @ spread.T, folded @ folded.T, atol=1e-4)
    np.testing.assert_allclose(spread @ student.basis, folded, atol=1e-5)


def test_weights_by_frequency():
    counts = np.array([0, 1, 3])
    assert token_weights(counts, Static(rare=0.25)).tolist() == [1.0, 0.5, 0.25]
    zipf = token_weights(counts, Static(weighting="zipf"))
    np.testing.assert_allclose(zipf, np.log([2, 3, 4]) / np.log(4), rtol=1e-6)


@pytest.mark.parametrize("int8", [False, True])
def test_the_graph_says_what_torch_says(student, int8):
    session = ort.InferenceSession(table_graph(student.folded(), int8=int8), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[-1].shape[-1] == 8
    rng = np.random.default_rng(0)
    for size in (1, 2, 31, 32, 33):
        ids = rng.integers(4, len(WORDS), (size, 12))
        mask = (np.arange(12) < rng.integers(1, 13, (size, 1))).astype(np.int64)
        found = session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})[0]
        with torch.no_grad():
            expected = student(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        assert (found * expected).sum(axis=1).min() > (0.999 if int8 else 0.999999)
        alone = session.run(None, {"input_ids": ids[:1, : mask[0].sum()], "attention_mask": mask[:1, : mask[0].sum()]})
        np.testing.assert_allclose(found[:1], alone[0], atol=1e-6)


def test_texts_without_a_known_token_are_zeros(student):
    for int8 in (False, True):
        session = ort.InferenceSession(table_graph(student.folded(), int8=int8), providers=["CPUExecutionProvider"])
        ids = np.array([[2, 1, 1, 3]])
        found = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        np.testing.assert_array_equal(found, np.zeros((1, 8)))
        none = session.run(None, {"input_ids": ids, "attention_mask": np.zeros_like(ids)})[0]
        np.testing.assert_array_equal(none, np.zeros((1, 8)))


def test_eight_bits_take_a_quarter():
    table = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
    table[5] = 0
    whole, small = table_graph(table), table_graph(table, int8=True)
    assert len(small) < len(whole) / 3.6
    held = {value.name: onnx.numpy_helper.to_array(value) for value in onnx.load_from_string(small).graph.initializer}
    back = held["table"] * held["steps"][:, None]
    assert np.abs(back - table).max() <= np.abs(table).max() / 127 / 2 + 1e-6
    assert not back[5].any()


@pytest.mark.parametrize("int8", [False, True])
def test_the_folder_is_a_text_encoders(student, tmp_path, int8):
    save_static(student.folded(), make_reader(max_tokens=12), tmp_path / "rung", int8=int8)
    encoder = OnnxEncoder(tmp_path / "rung", threads=1)
    found = encoder.encode(["a b c", "", "zzz yyy", "a " * 10_000, "a b c zzz"])
    assert encoder.dimensions == 8
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 0, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(found[0], found[4], atol=1e-6)  # an unknown word changes nothing
    rows = student.folded()[4:7].sum(axis=0)
    assert found[0] @ rows / np.linalg.norm(rows) > 0.999


def test_tables_that_do_not_fit_are_refused(student, tmp_path):
    with pytest.raises(ConfigError, match="24 tokens and the table 3 rows"):
        save_static(student.folded()[:3], make_reader(), tmp_path)
    with pytest.raises(ConfigError, match="no numbers"):
        table_graph(student.folded() * np.nan)


def test_dimensions_beyond_the_teachers_are_refused(world):
    with pytest.raises(ConfigError, match="fewer than dimensions = 99"):
        static_student(network(world.teacher), world.reader, world.texts, world.vectors, Static(dimensions=99))
    with pytest.raises(DataError, match="79 things of 80"):
        static_student(network(world.teacher), world.reader, world.texts, world.vectors[1:], Static(dimensions=8))


def test_training_makes_it_agree_more(world):
    student = static_student(network(world.teacher), world.reader, world.texts, world.vectors, Static(dimensions=8))
    options = Distil(training=Training(epochs=30, lr=0.02, evaluate_first=True, patience=30), batch_size=32)
    lesson = Lesson(examples=world.texts, vectors=world.vectors, basis=student.basis, teacher=world.teacher)
    report = distil(student, lesson, options, seed=0)
    assert report.agreement > report.before
    assert report.cosine > 0.7
    assert not student.folded()[world.reader.specials].any()


def test_a_fitted_table_says_more_of_what_the_teacher_says(world):
    """As near as the normal equations of ridge regression allow, after enough steps."""
    student = static_student(network(world.teacher), world.reader, world.texts, world.vectors, Static(dimensions=0))
    before = outputs(student, world.texts, np.arange(len(world.vectors)))
    fit_table(student, world.texts, world.vectors, Static(dimensions=0, penalty=0.1))
    after = outputs(student, world.texts, np.arange(len(world.vectors)))
    assert mean_cosine(after, world.vectors) > mean_cosine(before, world.vectors) + 0.05


def test_one_round_of_a_fit_is_ridge_regression(world):
    options = Static(dimensions=4, weighting="none", penalty=0.7, rounds=1, steps=400)
    student = static_student(network(world.teacher), world.reader, world.texts, world.vectors, options)
    start = student.table.detach().numpy().astype(np.float64).copy()
    counted = student.known.numpy().astype(np.float64)
    rows = np.zeros((len(world.vectors), len(start)))
    for row, tokens in enumerate(world.texts.tokens):
        np.add.at(rows[row], tokens, counted[tokens])
    rows /= np.linalg.norm(rows @ start, axis=1, keepdims=True)
    target = world.vectors @ student.basis
    change = np.linalg.solve(rows.T @ rows + 0.7 * np.eye(len(start)), rows.T @ (target - rows @ start))
    fit_table(student, world.texts, world.vectors, options)
    np.testing.assert_allclose(student.table.detach().numpy(), start + change, atol=2e-3)


def test_a_token_that_no_text_has_stays_where_the_teacher_put_it(world):
    student = static_student(network(world.teacher), world.reader, world.texts, world.vectors, Static(dimensions=4))
    start = student.table.detach().numpy().copy()
    fit_table(student, world.texts.take(np.array([0])), world.vectors[:1], Static(dimensions=4))
    absent = np.setdiff1d(np.arange(len(start)), world.texts.tokens[0])
    np.testing.assert_array_equal(student.table.detach().numpy()[absent], start[absent])
    assert not np.array_equal(student.table.detach().numpy(), start)
