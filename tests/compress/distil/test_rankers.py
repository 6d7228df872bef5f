import numpy as np
import pytest
import torch

from twofold.compress.distil import (
    Arrays,
    DistilTask,
    SmallRanker,
    Texts,
    Triples,
    losses,
    margin_task,
    outputs,
    small_ranker,
    top_items,
)
from twofold.core.errors import DataError
from twofold.train import Training, train


class Bag(torch.nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.table = torch.nn.Embedding(10, 8)

    def forward(self, input_ids, attention_mask):
        total = (self.table(input_ids) * attention_mask[:, :, None]).sum(dim=1)
        return torch.nn.functional.normalize(total, dim=1)


def test_a_bi_encoder_learns_a_cross_encoders_margins():
    texts = Texts([[token] for token in range(10)])
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(10, 10)) * 5
    logits = logits + logits.T
    rows = np.array([rng.permutation(10)[:3] for _ in range(300)])
    margins = (logits[rows[:, 0], rows[:, 1]] - logits[rows[:, 0], rows[:, 2]]).astype(np.float32)
    student = Bag()
    task = margin_task(student, Triples(texts, rows), margins, seed=0, part=7)
    assert len(task.held) == 30
    report = train(task, Training(epochs=20, lr=0.03, evaluate_first=True), seed=0)
    first = report.evaluations[0][1]
    assert report.quality > max(first, 0.8)


def test_margins_that_do_not_fit_are_refused():
    triples = Triples(Texts([[1], [2], [3]]), np.array([[0, 1, 2]]))
    with pytest.raises(DataError, match="2 margins do not fit 1 triples"):
        margin_task(Bag(), triples, np.zeros(2, np.float32), seed=0)


def test_an_ensemble_becomes_one_small_ranker():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 4)).astype(np.float32) * [1, 10, 0.1, 1] + [0, 5, 0, 3]
    said = 100 + 3 * np.maximum(features[:, 0], 0) + 0.2 * features[:, 1]
    gone = rng.random(600) < 0.3
    features[gone, 3] = np.nan
    said = np.where(gone, said - 2, said).astype(np.float32)
    ranker, report = small_ranker(
        features.astype(np.float32), said, training=Training(epochs=40, lr=0.01), seed=0, groups=np.arange(600) // 10
    )
    assert report.quality > 0.95
    found = ranker(features.astype(np.float32))
    assert found.shape == (600,)
    assert 1 - np.square(found - said).mean() / said.var() > 0.95
    again = SmallRanker.of(ranker.arrays())
    np.testing.assert_array_equal(again(features[:5].astype(np.float32)), found[:5])
    assert sum(array.size for array in ranker.arrays().values()) < 300


def test_a_ranker_by_hand():
    ranker = SmallRanker(
        mean=np.array([1.0, 0.0], np.float32),
        deviation=np.array([2.0, 1.0], np.float32),
        missing=np.array([1]),
        matrices=(np.array([[1.0], [10.0], [100.0]], np.float32),),
        biases=(np.array([0.5], np.float32),),
    )
    np.testing.assert_allclose(ranker(np.array([[3, 2], [1, np.nan]], np.float32)), [1 + 20 + 0.5, 100.5])


def test_too_little_for_a_ranker_is_refused():
    with pytest.raises(DataError, match="make no ranker"):
        small_ranker(np.zeros((3, 2)), np.zeros(3), training=Training(epochs=1), seed=0)
    with pytest.raises(DataError, match="make no ranker"):
        small_ranker(np.full((20, 2), np.inf), np.zeros(20), training=Training(epochs=1), seed=0)


def test_a_small_model_learns_soft_labels_over_items():
    rng = np.random.default_rng(0)
    histories = rng.normal(size=(200, 6)).astype(np.float32)
    teacher = histories @ rng.normal(size=(6, 12)).astype(np.float32)
    items, said = top_items(teacher, 5)

    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(6, 12)
            torch.nn.init.zeros_(self.inner.weight)

        def forward(self, histories):
            return self.inner(histories)

    def best(found, listed, _said):
        return float((found.argmax(axis=1) == listed[:, 0]).mean())

    def loss(logits, listed, scores):
        return losses.soft_items(logits, listed, scores, temperature=2.0)

    examples = Arrays({"histories": histories})
    task = DistilTask(Named(), examples, [items, said], loss, held=np.arange(40), quality=best)
    report = train(task, Training(epochs=40, lr=0.1, evaluate_every=40), seed=0)
    assert report.quality > 0.6
    assert outputs(task.module, examples, np.arange(3)).shape == (3, 12)


def test_without_a_quality_it_is_the_negative_loss():
    examples = Arrays({"features": np.ones((4, 1), np.float32)})
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.tensor(3.0))
    module.forward = lambda features: features[:, 0] * module.weight
    task = DistilTask(module, examples, [np.ones(4, np.float32)], losses.scores, held=np.array([0]))
    assert task.quality() == pytest.approx(-4)
    assert task.learned.tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="2 things of 4"):
        DistilTask(module, examples, [np.ones(2, np.float32)], losses.scores)
