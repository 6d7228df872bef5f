"""Losses by which a student learns from a teacher. Legend: n rows, d and e dimensions, m classes or items, k listed."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Distance", "Rows", "embedding", "layers", "margin", "relation", "scores", "soft_items", "soft_labels"]

Distance = Literal["cosine", "mse"]
Rows = Literal["kl", "mse"]


def soft_labels(
    student: Tensor, teacher: Tensor, labels: Tensor, *, alpha: float = 0.5, temperature: float = 2.0
) -> Tensor:
    """Return `alpha * CE(student, labels) + (1 - alpha) * T^2 * KL(teacher_T || student_T)`, the mean over rows.

    Both distributions of the second term are `softmax(logits / T)`; T² keeps its gradients as large as the first
    term's. Source: Hinton, Vinyals & Dean, 2015 (arXiv 1503.02531).

    Args:
        student: logits [n, m].
        teacher: logits [n, m]; they get no gradient.
        labels: the right classes, int64 [n].
        alpha: the share of the labels, from 0 to 1.
        temperature: T, above 0.
    """
    hard = functional.cross_entropy(student, labels)
    cool = functional.log_softmax(student / temperature, dim=1)
    target = functional.log_softmax(teacher.detach() / temperature, dim=1)
    soft = functional.kl_div(cool, target, reduction="batchmean", log_target=True)
    return alpha * hard + (1 - alpha) * temperature**2 * soft


def soft_items(logits: Tensor, items: Tensor, said: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return `T^2 * KL(teacher_T || student_T)` over items, of which the teacher scored the k that it finds best.

    The teacher's distribution is `softmax(said / T)` over its k items and 0 elsewhere, the student's is over all m;
    so what the teacher does not list is pushed down. With k = m it is the second term of `soft_labels`. It needs no
    labels: the teacher's scores of a history are made once and kept as k numbers, and the small model may mix it
    with its own loss. Source: Tang & Wang, KDD 2018 (Ranking Distillation), with soft labels.

    Args:
        logits: the student's, [n, m].
        items: those that the teacher listed, int64 [n, k]; -1 where there is no more.
        said: the teacher's scores of them, [n, k].
        temperature: T, above 0.
    """
    listed = items >= 0
    target = functional.softmax((said.detach().float() / temperature).masked_fill(~listed, -torch.inf), dim=1)
    target = torch.where(listed, target, 0.0)  # a row that lists nothing teaches nothing
    cool = functional.log_softmax(logits.float() / temperature, dim=1).gather(1, items.clamp(min=0))
    apart: Tensor = (torch.special.xlogy(target, target) - target * cool).sum(dim=1).mean()
    return temperature**2 * apart


def embedding(student: Tensor, teacher: Tensor, *, distance: Distance = "cosine") -> Tensor:
    """Return how far a student's vectors are from the teacher's: the mean of `1 - cosine`, or of `(s - t)^2`.

    Args:
        student: [n, d].
        teacher: [n, d]; they get no gradient.
        distance: `mse` is the mean over all n d numbers, so that vectors of length 1 have `2 (1 - cosine) / d`.
    """
    if distance == "mse":
        return functional.mse_loss(student, teacher.detach())
    return (1 - functional.cosine_similarity(student, teacher.detach(), dim=1)).mean()


def relation(student: Tensor, teacher: Tensor, *, rows: Rows = "kl", temperature: float = 0.05) -> Tensor:
    """Return how differently both see the likeness of a batch's rows to each other; their dimensions may differ.

    With cosines S of the student and C of the teacher between each row and the others: `kl` is the mean over rows
    of `KL(softmax(C_i / T) || softmax(S_i / T))`, a ranking of the others whose top counts most; `mse` is the mean
    of `(S_ij - C_ij)^2`. Sources: Park et al., CVPR 2019 (relational distillation); Fang et al., ICLR 2021 (SEED).

    Args:
        student: [n, d].
        teacher: [n, e]; they get no gradient.
        rows: how rows of likenesses are compared.
        temperature: T; the lower, the more the nearest rows count.
    """
    if len(student) < 2:
        return student.sum() * 0
    ours, theirs = _others(student), _others(teacher.detach())
    if rows == "mse":
        return functional.mse_loss(ours, theirs)
    cool, target = (functional.log_softmax(part / temperature, dim=1) for part in (ours, theirs))
    return functional.kl_div(cool, target, reduction="batchmean", log_target=True)


def _others(vectors: Tensor) -> Tensor:
    """Return the cosines of each row with the others, [n, n - 1]."""
    unit, n = functional.normalize(vectors.float(), dim=1), len(vectors)
    return (unit @ unit.T).flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


def layers(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    pairs: Mapping[int, int],
    *,
    mask: Tensor | None = None,
    project: Mapping[int, torch.nn.Module] | None = None,
) -> Tensor:
    """Return the mean over mapped layers of the squared difference of their states.

    Source: Jiao et al., Findings of EMNLP 2020 (TinyBERT).

    Args:
        student: the outputs of its layers, each [n, l, d].
        teacher: the outputs of its layers, each [n, l, e]; they get no gradient.
        pairs: layer of the student to layer of the teacher, both from 0.
        mask: which tokens count, [n, l]; all without it.
        project: turns states of a layer of the student from d into e numbers.
    """
    losses = []
    for ours, theirs in pairs.items():
        states = student[ours] if project is None else project[ours](student[ours])
        apart = (states - teacher[theirs].detach()).square().mean(dim=-1)
        shares = torch.ones_like(apart) if mask is None else mask.to(apart.dtype)
        losses.append((apart * shares).sum() / shares.sum().clamp(min=1))
    return torch.stack(losses).mean()


def margin(student: Tensor, teacher: Tensor, *, scale: float = 1.0) -> Tensor:
    """Return the mean squared difference of margins: how much better a right answer is than a wrong one.

    `mean(((s+ - s-) * scale - (t+ - t-))^2)`; only differences count, so that a teacher's logits and a student's
    cosines need no common zero. Source: Hofstätter et al., 2020 (arXiv 2010.02666), Margin-MSE.

    Args:
        student: vectors of search, right answer and wrong answer, [3n, d], in this order for each example.
        teacher: `t+ - t-`, [n].
        scale: of the student's dot products.
    """
    asked, right, wrong = student.view(len(teacher), 3, -1).unbind(dim=1)
    return functional.mse_loss((asked * (right - wrong)).sum(dim=1) * scale, teacher.detach().to(student.dtype))


def scores(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of scores, [n] or [n, 1]; the teacher's get no gradient."""
    return functional.mse_loss(student.reshape(-1), teacher.detach().reshape(-1).to(student.dtype))
