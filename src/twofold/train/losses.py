"""Losses. Legend: n rows, d dimensions, v items of an output table, s sampled items, h hard negatives a row."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["contrastive", "cross_entropy", "matryoshka", "sampled_softmax"]

CHUNK = 2048


def cross_entropy(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    *,
    weights: Tensor | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Return the mean of `-log softmax(hidden table' + bias)[target]` without ever holding all logits.

    A few rows at a time are multiplied out, and their gradients are computed at once, in the same pass, while the
    logits are still in the cache; so it needs `chunk * v` numbers of memory instead of `n * v`.

    Args:
        hidden: [n, d].
        table: the output table, [v, d].
        targets: the right rows of the table, int64 [n].
        bias: [v].
        weights: of the rows in the mean, [n]; without them all count the same. They get no gradient.
        chunk: rows at a time.
    """
    total: Tensor = _CrossEntropy.apply(hidden, table, bias, targets, weights, chunk)  # type: ignore[no-untyped-call]
    return total


class _CrossEntropy(torch.autograd.Function):
    """The gradients of `cross_entropy` are made on the way forward and only scaled on the way back."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
        targets, weights, chunk = rest
        device = hidden.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else table.dtype
        shares = torch.full((len(hidden),), 1 / max(len(hidden), 1), dtype=torch.float32, device=hidden.device)
        if weights is not None:
            shares = weights.float() / weights.float().sum()
        wanted = any(ctx.needs_input_grad[:3])
        to_hidden = torch.empty_like(hidden, dtype=torch.float32) if wanted else None
        to_table = torch.zeros_like(table, dtype=torch.float32) if wanted else None
        to_bias = torch.zeros_like(bias, dtype=torch.float32) if wanted and bias is not None else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        with torch.autocast(device, enabled=False):
            rows, columns = hidden.to(low), table.to(low)
            for start in range(0, len(hidden), chunk):
                part = slice(start, start + chunk)
                logits = (rows[part] @ columns.T).float()
                if bias is not None:
                    logits += bias
                right = targets[part, None]
                level = logits.amax(dim=1, keepdim=True)
                chosen = logits.gather(1, right) - level
                sums = logits.sub_(level).exp_().sum(dim=1, keepdim=True)
                loss += ((sums.log() - chosen)[:, 0] * shares[part]).sum()
                if to_hidden is None or to_table is None:
                    continue
                share = shares[part, None]
                slope = logits.mul_(share / sums).scatter_add_(1, right, -share)
                to_hidden[part] = (slope.to(low) @ columns).float()
                if low == torch.float32:
                    to_table.addmm_(slope.T, rows[part])
                else:
                    to_table += (slope.to(low).T @ rows[part]).float()
                if to_bias is not None:
                    to_bias += slope.sum(dim=0)
        ctx.slopes = (to_hidden, to_table, to_bias)
        ctx.types = (hidden.dtype, table.dtype, None if bias is None else bias.dtype)
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = outputs
        found = (
            None if slope is None else (slope * scale).to(kind)
            for slope, kind in zip(ctx.slopes, ctx.types, strict=True)
        )
        return (*found, None, None, None)


def sampled_softmax(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    sampled: Tensor,
    *,
    log_q: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy of each target against items that were sampled for the whole batch.

    Logits are corrected to `hidden table' + bias - log_q`, so that an item which is sampled often is not pushed
    down for it; a sampled item that is the row's target does not count. Source: Bengio & Senecal, IEEE Transactions
    on Neural Networks 2008; Yi et al., RecSys 2019.

    Args:
        hidden: [n, d].
        table: the output table, [v, d].
        targets: int64 [n].
        sampled: rows of the table, int64 [s].
        log_q: logarithm of how often each item is expected in the sample, [v].
        bias: [v].
    """
    offset = -log_q if bias is None else bias - log_q
    right = (hidden * table[targets]).sum(dim=1) + offset[targets]
    wrong = hidden @ table[sampled].T + offset[sampled]
    wrong = wrong.float().masked_fill(targets[:, None] == sampled, -torch.inf)
    return (torch.logsumexp(torch.cat((right.float()[:, None], wrong), dim=1), dim=1) - right.float()).mean()


def contrastive(
    anchors: Tensor,
    positives: Tensor,
    ids: Tensor | None = None,
    log_q: Tensor | None = None,
    hard: Tensor | None = None,
    *,
    temperature: float | Tensor = 0.05,
    known: Tensor | None = None,
    both: bool = False,
) -> Tensor:
    """Return the mean InfoNCE loss: each anchor must find its positive among all positives of the batch.

    Logits are `cosine / temperature - log_q`: without the correction, popular items, which are often in a batch,
    are pushed away too much. Another row's positive with the same id is no negative. Source: van den Oord et al.,
    2018 (arXiv 1807.03748); Yi et al., RecSys 2019.

    Args:
        anchors: [n, d].
        positives: the right answer of each anchor, [n, d].
        ids: which item each positive is, int64 [n]; without them all are taken for different.
        log_q: logarithm of how often each positive is expected in a batch, [n]; up to a constant.
        hard: further negatives, which all anchors share, [h, d].
        temperature: divides the cosines.
        known: which positives and hard negatives belong to an anchor too and are no negatives, bool [n, n + h].
        both: whether the positives must find their anchors too; the loss is the mean of both ways.
    """
    left, right = functional.normalize(anchors.float(), dim=1), functional.normalize(positives.float(), dim=1)
    logits = left @ right.T / temperature
    rows = torch.arange(len(left), device=left.device)
    same = torch.zeros_like(logits, dtype=torch.bool) if ids is None else ids[:, None] == ids
    same[rows, rows] = False
    forward = (logits if log_q is None else logits - log_q).masked_fill(same, -torch.inf)
    if hard is not None:
        forward = torch.cat((forward, left @ functional.normalize(hard.float(), dim=1).T / temperature), dim=1)
    if known is not None:
        others = known.clone()
        others[rows, rows] = False
        forward = forward.masked_fill(others, -torch.inf)
    loss = functional.cross_entropy(forward, rows, reduction="none")
    if both:
        loss = (loss + functional.cross_entropy(logits.T.masked_fill(same, -torch.inf), rows, reduction="none")) / 2
    return loss.mean()


def matryoshka(loss: Callable[..., Tensor], dims: Sequence[int]) -> Callable[..., Tensor]:
    """Return a loss that is the mean of `loss` over vectors cut to each of several lengths.

    So the first few numbers of a vector are a good vector by themselves. Every tensor of two dimensions that is
    given by position is cut. Source: Kusupati et al., NeurIPS 2022 (arXiv 2205.13147).

    Args:
        loss: takes vectors [n, d] by position; must not care for their lengths, as `contrastive` does not.
        dims: the lengths; one that is not below d leaves the vectors whole.
    """

    def cut(value: Any, size: int) -> Any:
        return value[:, :size] if isinstance(value, Tensor) and value.ndim == 2 else value

    def mean(*vectors: Any, **options: Any) -> Tensor:
        losses = [loss(*(cut(value, size) for value in vectors), **options) for size in dims]
        return torch.stack(losses).mean()

    return mean if dims else loss
