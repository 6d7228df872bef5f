import math

import pytest
import torch
from torch.nn import functional

from twofold.train import contrastive, cross_entropy, matryoshka, sampled_softmax


def leaves(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("with_bias", [True, False])
def test_cross_entropy_is_that_of_all_logits_at_once(chunk, with_bias):
    hidden, table, bias = leaves((7, 4), (5, 4), (5,))
    targets = torch.tensor([0, 4, 2, 2, 1, 3, 0])
    extra = bias if with_bias else None
    loss = cross_entropy(hidden, table, targets, extra, chunk=chunk)
    (3 * loss).backward()
    found = [hidden.grad, table.grad, *([bias.grad] if with_bias else [])]
    for leaf in (hidden, table, bias):
        leaf.grad = None
    logits = hidden @ table.T + (bias if with_bias else 0)
    expected = functional.cross_entropy(logits, targets)
    (3 * expected).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    wanted = [hidden.grad, table.grad, *([bias.grad] if with_bias else [])]
    for left, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-5)


def test_cross_entropy_with_weights_of_rows():
    hidden, table = leaves((3, 4), (5, 4))
    targets, weights = torch.tensor([0, 1, 2]), torch.tensor([1.0, 0.0, 3.0])
    loss = cross_entropy(hidden, table, targets, weights=weights)
    loss.backward()
    each = functional.cross_entropy(hidden @ table.T, targets, reduction="none")
    assert loss.item() == pytest.approx(((each[0] + 3 * each[2]) / 4).item(), rel=1e-6)
    assert hidden.grad[1].tolist() == [0.0] * 4


def test_cross_entropy_of_huge_logits_stays_finite():
    hidden = torch.tensor([[1e4]], requires_grad=True)
    table = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = cross_entropy(hidden, table, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 2e4
    assert hidden.grad.item() == 2.0


def test_cross_entropy_under_bfloat16():
    hidden, table, bias = leaves((7, 4), (5, 4), (5,))
    targets = torch.tensor([0, 4, 2, 2, 1, 3, 0])
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy(hidden, table, targets, bias, chunk=2)
    loss.backward()
    exact = functional.cross_entropy(hidden @ table.T + bias, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=2e-2)
    assert table.grad.dtype == torch.float32


def test_cross_entropy_without_gradients():
    hidden, table = (leaf.detach() for leaf in leaves((3, 4), (5, 4)))
    loss = cross_entropy(hidden, table, torch.tensor([0, 1, 2]))
    assert not loss.requires_grad


def test_sampled_softmax_by_hand():
    hidden, table = torch.tensor([[1.0]]), torch.tensor([[1.0], [2.0], [3.0]])
    log_q = torch.log(torch.tensor([0.5, 0.25, 0.25]))
    # Logits less log q: the target 1 + ln 2, item 2 3 + ln 4; the sampled item 0 is the target and does not count.
    loss = sampled_softmax(hidden, table, torch.tensor([0]), torch.tensor([0, 2]), log_q=log_q)
    right, wrong = 2 * math.e, 4 * math.e**3
    assert loss.item() == pytest.approx(-math.log(right / (right + wrong)), rel=1e-6)


def test_sampled_softmax_over_all_items_is_the_whole_softmax():
    hidden, table, bias = leaves((4, 3), (6, 3), (6,))
    targets = torch.tensor([0, 5, 2, 2])
    loss = sampled_softmax(hidden, table, targets, torch.arange(6), log_q=torch.zeros(6), bias=bias)
    assert loss.item() == pytest.approx(functional.cross_entropy(hidden @ table.T + bias, targets).item(), rel=1e-5)


def test_contrastive_by_hand():
    anchors = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    positives = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    root = 1 / math.sqrt(2)
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(2 * root)))
    second = -math.log(math.exp(2 * root) / (math.exp(2 * root) + 1))
    loss = contrastive(anchors, positives, temperature=0.5)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_contrastive_masks_the_same_item():
    anchors, positives = torch.eye(2), torch.eye(2)
    assert contrastive(anchors, positives, torch.tensor([7, 7])).item() == pytest.approx(0.0, abs=1e-7)
    assert contrastive(anchors, positives, torch.tensor([7, 8]), temperature=1.0).item() > 0.3


def test_contrastive_corrects_for_popularity():
    anchors, positives = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[1.0, 0.0]] * 2)
    # All cosines are 1, so the corrected logits are 0 and -ln 3: the rare one is taken for three times as likely.
    loss = contrastive(anchors, positives, log_q=torch.log(torch.tensor([1.0, 3.0])), temperature=1.0)
    assert loss.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2, rel=1e-5)


def test_contrastive_with_hard_negatives():
    anchors, positives, hard = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    loss = contrastive(anchors, positives, hard=hard, temperature=1.0)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    known = torch.tensor([[True, True]])
    assert contrastive(anchors, positives, hard=hard, known=known).item() == pytest.approx(0.0, abs=1e-7)


def test_contrastive_both_ways():
    anchors, positives = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2)
    there = contrastive(anchors, positives, temperature=1.0)
    both = contrastive(anchors, positives, temperature=1.0, both=True)
    back = contrastive(positives, anchors, temperature=1.0)
    assert both.item() == pytest.approx((there.item() + back.item()) / 2, rel=1e-6)


def test_matryoshka_is_the_mean_over_lengths():
    left, right = (leaf.detach() for leaf in leaves((3, 4), (3, 4)))
    ids = torch.tensor([1, 2, 3])
    loss = matryoshka(contrastive, (2, 4))(left, right, ids)
    parts = contrastive(left[:, :2], right[:, :2], ids), contrastive(left, right, ids)
    assert loss.item() == pytest.approx(sum(parts).item() / 2, rel=1e-6)
    assert matryoshka(contrastive, ()) is contrastive
