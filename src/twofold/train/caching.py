"""Gradient caching: the exact gradient of a loss over a large batch, in the memory of a small one."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from twofold.train.checkpoint import random_state, set_random_state

__all__ = ["cached_backward"]

P = TypeVar("P")


def cached_backward(encode: Callable[[P], Tensor], groups: Sequence[Sequence[P]], loss: Callable[..., Tensor]) -> float:
    """Compute a loss over the vectors of many parts, add its gradients to the parameters, and return it.

    First all parts are encoded without a graph, then the loss gives each vector its gradient, then each part is
    encoded once more, by itself, to carry that gradient back. The second time torch's random generators stand as
    they stood the first time, so that dropout is the same and the gradient is that of the whole batch at once.
    It costs one more pass forward, which a batch of one part is spared. Source: Gao et al., RepL4NLP 2021
    (arXiv 2101.06983).

    Args:
        encode: turns a part into vectors [rows, d].
        groups: the parts of each argument of the loss, such as those of the anchors and those of the positives.
        loss: takes the vectors of each group, in order, and returns one number.
    """
    if all(len(parts) == 1 for parts in groups):
        value = loss(*(encode(parts[0]) for parts in groups))
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()
    states, found = [], []
    with torch.no_grad():
        for parts in groups:
            vectors = []
            for part in parts:
                states.append(random_state())
                vectors.append(encode(part))
            found.append(vectors)
    after = random_state()
    leaves = [[vector.detach().requires_grad_() for vector in vectors] for vectors in found]
    value = loss(*(torch.cat(vectors) for vectors in leaves))
    value.backward()  # type: ignore[no-untyped-call]
    parts = [part for group in groups for part in group]
    slopes = [vector.grad for vectors in leaves for vector in vectors]
    for part, slope, state in zip(parts, slopes, states, strict=True):
        set_random_state(state)
        encode(part).backward(slope)  # type: ignore[no-untyped-call]
    set_random_state(after)
    return value.item()
