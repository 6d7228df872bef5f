import math

import pytest
import torch

from twofold.compress.distil import losses


def log_softmax(values, temperature=1.0):
    level = math.log(sum(math.exp(value / temperature) for value in values))
    return [value / temperature - level for value in values]


@pytest.mark.parametrize(("alpha", "temperature"), [(0.5, 2.0), (0.3, 1.0), (0.0, 4.0), (1.0, 3.0)])
def test_soft_labels_is_the_written_formula(alpha, temperature):
    student, teacher, labels = [[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], [[2.0, 0.0, 1.0], [1.0, 1.0, 1.0]], [0, 2]
    hard = -sum(log_softmax(row)[label] for row, label in zip(student, labels, strict=True)) / 2
    soft = 0.0
    for ours, theirs in zip(student, teacher, strict=True):
        q, p = log_softmax(ours, temperature), log_softmax(theirs, temperature)
        soft += sum(math.exp(b) * (b - a) for a, b in zip(q, p, strict=True)) / 2
    expected = alpha * hard + (1 - alpha) * temperature**2 * soft
    found = losses.soft_labels(
        torch.tensor(student), torch.tensor(teacher), torch.tensor(labels), alpha=alpha, temperature=temperature
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_soft_labels_by_hand():
    # CE = -ln 1/2; teacher_2 = softmax(ln 3, 0) = (3/4, 1/4), student_2 = (1/2, 1/2)
    student, teacher = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    found = losses.soft_labels(student, teacher, torch.tensor([0]), alpha=0.25, temperature=2.0)
    assert found.item() == pytest.approx(0.25 * math.log(2) + 0.75 * 4 * kl, rel=1e-6)


def test_the_teacher_gets_no_gradient():
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    total = losses.soft_labels(student, teacher, torch.tensor([0, 1, 2]))
    for distance in ("cosine", "mse"):
        total = total + losses.embedding(student, teacher, distance=distance)
    for rows in ("kl", "mse"):
        total = total + losses.relation(student, teacher, rows=rows)
    (total + losses.layers([student[None]], [teacher[None]], {0: 0}) + losses.scores(student, teacher)).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_soft_items_with_all_items_is_the_soft_term_of_soft_labels():
    logits, said = torch.randn(4, 5), torch.randn(4, 5)
    items = torch.arange(5).repeat(4, 1)
    found = losses.soft_items(logits, items, said, temperature=1.7)
    expected = losses.soft_labels(logits, said, torch.zeros(4, dtype=torch.long), alpha=0.0, temperature=1.7)
    torch.testing.assert_close(found, expected)


def test_soft_items_of_a_short_list_by_hand():
    # the teacher lists items 2 and 0 with equal scores; the student says 1/4 to each of four
    items, said = torch.tensor([[2, 0, -1], [-1, -1, -1]]), torch.tensor([[7.0, 7.0, 99.0], [0.0, 0.0, 0.0]])
    logits = torch.zeros(2, 4, requires_grad=True)
    found = losses.soft_items(logits, items, said)
    assert found.item() == pytest.approx((math.log(4) - math.log(2)) / 2, rel=1e-6)
    found.backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1] > 0 > logits.grad[0, 2]
    assert not logits.grad[1].any()


def test_embedding_by_hand():
    student, teacher = torch.tensor([[2.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [6.0, 8.0]])
    assert losses.embedding(student, teacher).item() == pytest.approx(0.5)  # cosines 0 and 1
    assert losses.embedding(student, teacher, distance="mse").item() == pytest.approx((4 + 1 + 9 + 16) / 4)


def test_relation_by_hand():
    student = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])  # cosines 1, 0, 0
    teacher = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 5.0]])  # all 0
    found = losses.relation(student, teacher, rows="mse")
    assert found.item() == pytest.approx(2 / 6)
    ours = log_softmax([1.0, 0.0], 0.5)  # rows 0 and 1; row 2 sees two equal ones and agrees
    expected = 2 * sum(0.5 * (math.log(0.5) - value) for value in ours) / 3
    assert losses.relation(student, teacher, temperature=0.5).item() == pytest.approx(expected, rel=1e-5)


def test_relation_of_the_same_likenesses_is_nothing_even_in_other_dimensions():
    vectors = torch.randn(6, 4)
    turned, _ = torch.linalg.qr(torch.randn(7, 4))
    for rows in ("kl", "mse"):
        assert losses.relation(vectors, 3 * vectors @ turned.T, rows=rows).item() == pytest.approx(0, abs=1e-5)


def test_relation_of_one_row_is_nothing():
    row = torch.randn(1, 3, requires_grad=True)
    loss = losses.relation(row, torch.randn(1, 3))
    loss.backward()
    assert loss.item() == 0
    assert not row.grad.any()


def test_layers_follow_the_map_and_the_mask():
    student = [torch.zeros(1, 2, 2), torch.ones(1, 2, 2)]
    teacher = [torch.full((1, 2, 2), float(layer)) for layer in range(4)]
    assert losses.layers(student, teacher, {0: 1, 1: 3}).item() == pytest.approx((1 + 4) / 2)
    teacher[3][0, 1] = 1e6  # padding
    mask = torch.tensor([[1, 0]])
    assert losses.layers(student, teacher, {0: 1, 1: 3}, mask=mask).item() == pytest.approx((1 + 4) / 2)
    wide = [torch.zeros(1, 2, 3)]
    project = {0: torch.nn.Linear(2, 3, bias=False)}
    assert losses.layers([torch.zeros(1, 2, 2)], wide, {0: 0}, project=project).item() == 0


def test_margin_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.5, 9.0], [0.25, 9.0]])  # margin 0.25
    assert losses.margin(student, torch.tensor([1.0]), scale=2.0).item() == pytest.approx((0.5 - 1.0) ** 2)
