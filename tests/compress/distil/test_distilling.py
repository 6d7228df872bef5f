from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from twofold.compress.distil import Distil, Lesson, VectorLoss, distil, fewer_layers, losses, outputs, vector_task
from twofold.core.errors import ArtifactError, ConfigError, DataError
from twofold.train import Training

from .conftest import Pooled, bert

QUICK = Training(epochs=2, lr=3e-3, evaluate_first=True)
OPTIONS = Distil(training=QUICK, batch_size=16, held_out=16)


def lesson_of(world, **changes):
    return Lesson(**{"examples": world.texts, "vectors": world.vectors, "teacher": world.teacher, **changes})


def half(world):
    return Pooled(fewer_layers(world.teacher.model, [0, 2]))


def test_fewer_layers_learn_the_teachers_vectors(world):
    student = Pooled(fewer_layers(world.teacher.model, [0]))
    options = replace(OPTIONS, measure="cosine", training=Training(epochs=6, lr=1e-3, evaluate_first=True))
    report = distil(student, lesson_of(world), options, seed=0)
    first = report.training.evaluations[0][1]
    assert report.cosine == pytest.approx(report.training.quality, abs=1e-5)
    assert report.cosine > first
    assert 0 <= report.before <= 1
    assert 0 <= report.agreement <= 1
    assert not student.training


def test_layers_are_learned_too(world):
    student = half(world)
    options = replace(OPTIONS, layers=((0, 0), (1, 2)), layer=0.1)
    task = vector_task(student, lesson_of(world), options, seed=0)
    plain = vector_task(student, lesson_of(world), OPTIONS, seed=0)
    batch = task.learned[:8]
    with torch.no_grad():
        feed = {name: torch.from_numpy(value) for name, value in world.texts.feed(batch).items()}
        ours = student.model(**feed, output_hidden_states=True).hidden_states
        theirs = world.teacher.model(**feed, output_hidden_states=True).hidden_states
        apart = losses.layers(
            [ours[1], ours[2]], [theirs[1], theirs[3]], {0: 0, 1: 1}, mask=feed["attention_mask"]
        ).item()
    assert task.backward(batch) == pytest.approx(plain.backward(batch) + 0.1 * apart, rel=1e-4)
    assert all(value.grad is None for value in world.teacher.parameters())
    distil(student, lesson_of(world), options, seed=0)


def test_narrower_layers_learn_through_a_matrix(world):
    student = Pooled(bert(hidden_size=8, num_hidden_layers=2, num_attention_heads=2))
    task = vector_task(student, lesson_of(world), replace(OPTIONS, layers=((1, 2),)), seed=0)
    assert task.module.project["1"].weight.shape == (16, 8)
    task.backward(task.learned[:8])
    assert task.module.project["1"].weight.grad.any()


def test_a_map_beyond_the_layers_is_refused(world):
    options = replace(OPTIONS, layers=((0, 9),))
    with pytest.raises(ConfigError, match=r"names \(0, 9\), and the student has 2, its teacher 3 layers"):
        distil(half(world), lesson_of(world), options, seed=0)
    with pytest.raises(ConfigError, match="runs the teacher too"):
        distil(half(world), lesson_of(world, teacher=None), options, seed=0)


def test_parts_give_the_gradient_of_the_whole_batch(world):
    def gradient(part):
        student = half(world)
        task = vector_task(student, lesson_of(world), replace(OPTIONS, part=part), seed=0)
        value = task.backward(task.learned[:10])
        return value, torch.cat([weight.grad.flatten() for weight in student.parameters() if weight.grad is not None])

    whole, parts = gradient(0), gradient(3)
    assert whole[0] == pytest.approx(parts[0], rel=1e-5)
    torch.testing.assert_close(whole[1], parts[1], rtol=1e-3, atol=1e-5)


def test_batches_hold_each_row_once_and_like_lengths(world):
    task = vector_task(half(world), lesson_of(world), OPTIONS, seed=0)
    batches = task.batches(0, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == sorted(set(range(80)) - set(task.held.tolist()))
    assert len(task.held) == 16
    spreads = [np.ptp(world.texts.lengths[batch]) for batch in batches]
    assert np.mean(spreads) < np.ptp(world.texts.lengths) / 2


def test_matryoshka_is_the_mean_over_lengths():
    student, teacher = torch.randn(6, 8), torch.randn(6, 8)
    options = replace(OPTIONS, dimensions=(2, 4, 99))
    plain = VectorLoss(OPTIONS)
    short = [
        losses.embedding(student[:, :cut], teacher[:, :cut]) + losses.relation(student[:, :cut], teacher)
        for cut in (2, 4)
    ]
    expected = (plain(student, teacher) + sum(short)) / 3
    torch.testing.assert_close(VectorLoss(options)(student, teacher), expected)


def test_a_shorter_student_is_compared_in_the_basis():
    student, teacher = torch.randn(6, 2), torch.randn(6, 4)
    basis = np.eye(4, 2, dtype=np.float32)
    expected = losses.embedding(student, teacher[:, :2]) + losses.relation(student, teacher)
    torch.testing.assert_close(VectorLoss(OPTIONS, basis)(student, teacher), expected)


def test_students_of_another_architecture_learn_and_longer_vectors_are_refused(world):
    class Bag(torch.nn.Module):
        def __init__(self, size):
            super().__init__()
            self.table = torch.nn.Embedding(24, size)

        def forward(self, input_ids, attention_mask):
            return (self.table(input_ids) * attention_mask[:, :, None]).sum(dim=1)

    report = distil(Bag(8), lesson_of(world), OPTIONS, seed=0)
    assert report.training.steps == 8
    with pytest.raises(ConfigError, match="17 numbers and the teacher's 16"):
        distil(Bag(17), lesson_of(world), OPTIONS, seed=0)


def test_a_collapsed_student_is_refused(world):
    class Constant(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Parameter(torch.ones(16))

        def forward(self, input_ids, attention_mask):
            return self.one.expand(len(input_ids), -1)

    with pytest.raises(ConfigError, match=r"collapsed.*mean cosine of 1\.00"):
        distil(Constant(), lesson_of(world), OPTIONS, seed=0)


def test_students_that_are_too_large_or_damaged_are_refused(world):
    with pytest.raises(ConfigError, match="smaller"):
        distil(Pooled(bert(num_hidden_layers=4)), lesson_of(world), OPTIONS, seed=0)
    student = half(world)
    student.model.embeddings.word_embeddings.weight.data[3] = np.inf
    with pytest.raises(ConfigError, match="the student has weights that are no numbers"):
        distil(student, lesson_of(world), OPTIONS, seed=0)
    with pytest.raises(ConfigError, match="damaged"):
        lesson_of(world, vectors=world.vectors * np.nan)


def test_lessons_that_do_not_fit_are_refused(world):
    with pytest.raises(DataError, match="3 things of 80"):
        lesson_of(world, vectors=world.vectors[:3])
    few = type(world.texts)(world.texts.tokens[:2])
    with pytest.raises(DataError, match="2 texts are too few"):
        Lesson(examples=few, vectors=world.vectors[:2])


def test_a_killed_distillation_goes_on_to_the_same_weights(world, tmp_path):
    @dataclass
    class Failing:
        task: object
        left: int

        @property
        def module(self):
            return self.task.module

        def batches(self, epoch, rng):
            return self.task.batches(epoch, rng)

        def quality(self):
            return self.task.quality()

        def backward(self, batch):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return self.task.backward(batch)

    options = replace(OPTIONS, training=replace(QUICK, checkpoint_minutes=0))
    whole, killed = half(world), half(world)
    distil(whole, lesson_of(world), options, seed=0)
    with pytest.raises(KeyboardInterrupt):
        distil(killed, lesson_of(world), options, seed=0, checkpoint=tmp_path / "at", around=lambda t: Failing(t, 5))
    again = half(world)
    distil(again, lesson_of(world), options, seed=0, checkpoint=tmp_path / "at")
    rows = np.arange(5)
    np.testing.assert_array_equal(outputs(again, world.texts, rows), outputs(whole, world.texts, rows))
    with pytest.raises(ArtifactError, match="another vectors"):
        distil(half(world), lesson_of(world, vectors=-world.vectors), options, seed=0, checkpoint=tmp_path / "at")
    with pytest.raises(ArtifactError, match="distil"):
        distil(half(world), lesson_of(world), replace(options, relation=0.5), seed=0, checkpoint=tmp_path / "at")


def test_options_that_make_no_sense_are_refused():
    for wrong in (
        {"embedding": 0, "relation": 0},
        {"temperature": 0},
        {"batch_size": 1},
        {"part": 2, "layers": ((0, 0),)},
        {"layers": ((0, 0), (0, 1))},
        {"dimensions": (-1,)},
    ):
        with pytest.raises(ValueError, match=r"wants|can learn|whole batches"):
            Distil(**wrong)
