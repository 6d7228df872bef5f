"""A cross-encoder to a bi-encoder: the student learns margins. Needs torch."""

from functools import partial

import numpy as np
from torch import nn

from twofold.compress.distil.examples import Triples
from twofold.compress.distil.losses import margin
from twofold.compress.distil.stack import check_finite
from twofold.compress.distil.task import DistilTask, outputs
from twofold.core.errors import DataError
from twofold.core.scores import Floats

__all__ = ["margin_task"]

HELD_OUT = 0.1


def margin_task(
    student: nn.Module, triples: Triples, margins: Floats, *, seed: int, batch_size: int = 32, part: int = 0
) -> DistilTask:
    """Return the task of a bi-encoder that learns a cross-encoder's margins (Hofstätter et al., 2020).

    The student's dot products are scaled by the number that fits its margins best before training, so that it
    changes what it must and no more. A tenth of the examples is put aside; the quality is the share of them
    which the student puts in the teacher's order.

    Args:
        student: takes `input_ids`, `attention_mask` and gives vectors; see `TextVectors`.
        triples: searches with a right and a wrong answer, or simply two answers.
        margins: by how much the teacher's score of the first is above that of the second, [n].
        seed: of what is put aside.
        batch_size: triples at once.
        part: triples computed at once; 0 for the whole batch.

    Raises:
        ConfigError: the student has weights that are no numbers.
        DataError: margins and triples differ in number, or a margin is no number.
    """
    check_finite(student, "the student")
    size = len(triples.lengths)
    if len(margins) != size or not size or not np.isfinite(margins).all():
        raise DataError(f"{len(margins)} margins do not fit {size} triples, or one is no number; ask the teacher anew.")
    order = np.random.default_rng(seed).permutation(size)
    held, some = order[: int(HELD_OUT * size)], np.sort(order[-512:])
    before = _margins(outputs(student, triples, some))
    squares, crossed = float(before @ before), float(before @ margins[some])
    if crossed <= 0:  # the student knows nothing yet
        crossed, squares = float(margins[some].std()), float(before.std())
    return DistilTask(
        student,
        triples,
        [margins.astype(np.float32)],
        partial(margin, scale=max(crossed, 1e-6) / max(squares, 1e-6)),
        held=np.sort(held),
        quality=_same_order,
        batch_size=batch_size,
        part=part,
    )


def _margins(vectors: Floats) -> Floats:
    asked, right, wrong = vectors.reshape(-1, 3, vectors.shape[1]).transpose(1, 0, 2)
    found: Floats = (asked * (right - wrong)).sum(axis=1)
    return found


def _same_order(vectors: Floats, margins: Floats) -> float:
    return float((np.sign(_margins(vectors)) == np.sign(margins)).mean())
