"""`distil`: a student of any architecture learns its teacher's vectors. Needs torch."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twofold.compress.distil.agreement import check_collapse, mean_cosine, neighbour_overlap, principal
from twofold.compress.distil.examples import Examples, Index
from twofold.compress.distil.losses import embedding, relation
from twofold.compress.distil.options import Distil
from twofold.compress.distil.stack import check_finite, check_smaller, watched
from twofold.compress.distil.task import DistilTask, LayerMap, outputs
from twofold.core.errors import ConfigError, DataError
from twofold.core.scores import Floats
from twofold.core.stage import Progress
from twofold.train import TrainingReport, train

__all__ = ["Distilled", "Lesson", "VectorLoss", "distil", "put_aside", "vector_task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """How a student came out, measured on rows put aside; all None where none were."""

    training: TrainingReport
    cosine: float | None
    """Mean cosine to the teacher's vectors (where the student's are shorter: to these in the basis)."""
    agreement: float | None
    """Mean overlap of the ten nearest neighbours among the rows put aside with the teacher's."""
    before: float | None
    """The same overlap before distilling."""


class VectorLoss:
    """The loss of `Distil` between a student's vectors and the teacher's, whose dimensions may differ.

    Args:
        options: weights and kinds.
        basis: brings the teacher's vectors [n, e] to the student's d numbers, for the embedding loss, [e, d]; the
            relation loss always sees the teacher's vectors whole. None where both are as long.
    """

    def __init__(self, options: Distil, basis: Floats | None = None) -> None:
        self.options = options
        self.basis = None if basis is None else torch.from_numpy(basis)

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean over all lengths of vectors that are asked for."""
        target = teacher if self.basis is None else teacher @ self.basis.to(teacher.device)
        lengths = [length for length in self.options.dimensions if length < student.shape[1]]
        cuts = [self._at(student, teacher, target)]
        cuts += [self._at(student[:, :length], teacher, target[:, :length]) for length in lengths]
        return torch.stack(cuts).mean()

    def _at(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        options, total = self.options, student.sum() * 0
        if options.embedding:
            total = total + options.embedding * embedding(student, target, distance=options.distance)
        if options.relation:
            kind = relation(student, teacher, rows=options.rows, temperature=options.temperature)
            total = total + options.relation * kind
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a student learns from."""

    examples: Examples
    """Texts of the catalogue, what people searched for: anything that the student takes."""
    vectors: Floats
    """What the teacher says of all of them, [n, e]; see `outputs_of`."""
    teacher: nn.Module | int | None = None
    """The teacher, or how many parameters it has, to refuse a student that is larger; needed as a module where
    layers are learned."""
    basis: Floats | None = None
    """See `VectorLoss`; where the student is narrower and none is given, `principal` of the vectors."""

    def __post_init__(self) -> None:
        size = len(self.examples.lengths)
        if len(self.vectors) != size:
            raise DataError(f"the teacher said {len(self.vectors)} things of {size} examples; ask it about these anew.")
        if size < 3:
            raise DataError(f"{size} texts are too few to distil on; give more of the catalogue's texts.")
        if not np.isfinite(self.vectors).all():
            raise ConfigError("the teacher gives vectors that are no numbers; its weights are damaged, get others.")


def put_aside(size: int, most: int, seed: int) -> tuple[Index, Index]:
    """Return which of so many rows are put aside, at most a fifth, and which are learned from."""
    held = np.sort(np.random.default_rng(seed).permutation(size)[: min(most, size // 5)])
    return held, np.setdiff1d(np.arange(size), held)


def vector_task(student: nn.Module, lesson: Lesson, options: Distil, *, seed: int) -> DistilTask:
    """Return the task that `distil` trains.

    Raises:
        ConfigError: the student's vectors are longer than the teacher's, or layers are asked for without a teacher.
    """
    examples, vectors, basis, size = lesson.examples, lesson.vectors, lesson.basis, len(lesson.vectors)
    held, learned = put_aside(size, options.held_out, seed)
    width = outputs(student, examples, learned[:1]).shape[-1]
    if width > vectors.shape[1]:
        raise ConfigError(
            f"the student's vectors have {width} numbers and the teacher's {vectors.shape[1]}; give a narrower student."
        )
    if basis is None and width < vectors.shape[1]:
        basis = principal(vectors[learned], width)
    return DistilTask(
        _with_layers(student, lesson, options, seed) if options.layers else student,
        examples,
        [vectors],
        VectorLoss(options, basis),
        held=held,
        quality=neighbour_overlap if options.measure == "agreement" else partial(_cosine, basis=basis),
        batch_size=options.batch_size,
        part=options.part,
    )


def _with_layers(student: nn.Module, lesson: Lesson, options: Distil, seed: int) -> LayerMap:
    teacher = lesson.teacher
    if not isinstance(teacher, nn.Module):
        raise ConfigError("distilling by layers runs the teacher too; give it, or leave layers empty.")
    widths = _width(student, lesson.examples), _width(teacher, lesson.examples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mapped = LayerMap(student, teacher, dict(options.layers), widths, options.layer)
    return mapped.to(next(student.parameters()).device)


def _width(module: nn.Module, examples: Examples) -> int:
    with watched(module) as states:
        outputs(module, examples, np.zeros(1, np.int64))
    return int(states[0].shape[-1])


def _cosine(student: Floats, teacher: Floats, *, basis: Floats | None) -> float:
    return mean_cosine(student, teacher if basis is None else teacher @ basis)


def distil(
    student: nn.Module,
    lesson: Lesson,
    options: Distil,
    *,
    seed: int,
    around: Callable[[DistilTask], Any] | None = None,
    checkpoint: Path | None = None,
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Distilled:
    """Teach a student the vectors of its teacher, on examples without labels, and leave it in evaluation mode.

    It serves a student of any architecture, and it heals a model that was pruned: then the student is the pruned
    model, and `around` keeps its zeros. The weights of the best held-out quality are kept.

    Args:
        student: takes a feed by name and gives vectors [b, d]; see `TextVectors` for sentence-transformers models.
        lesson: what it learns from.
        options: how.
        seed: of what is put aside, of the order and of torch.
        around: wraps the task before it is trained.
        checkpoint: a folder to write to now and then, and to go on from.
        about: what else the result depends on, as plain values.
        progress: told the loss, the held-out quality and the time left.

    Raises:
        ArtifactError: the checkpoint is damaged, or belongs to another training.
        ConfigError: the student is larger than its teacher, has weights that are no numbers, or has collapsed.
    """
    check_finite(student, "the student")
    if isinstance(lesson.teacher, nn.Module):
        check_finite(lesson.teacher, "the teacher")
    if lesson.teacher is not None:
        check_smaller(student, lesson.teacher)
    task = vector_task(student, lesson, options, seed=seed)
    held = task.held
    before = neighbour_overlap(outputs(student, task.examples, held), lesson.vectors[held]) if len(held) else None
    said = sha256(lesson.vectors.tobytes()).hexdigest()
    owner = {"distil": asdict(options), "examples": task.examples.fingerprint(), "vectors": said, **(about or {})}
    report = train(
        task if around is None else around(task),
        options.training,
        seed=seed,
        checkpoint=checkpoint,
        about=owner,
        progress=progress,
    )
    return _judged(student, task, lesson.vectors, report, before)


def _judged(
    student: nn.Module, task: DistilTask, vectors: Floats, report: TrainingReport, before: float | None
) -> Distilled:
    held = task.held if len(task.held) else task.learned[:256]
    found, said = outputs(student, task.examples, held), np.asarray(vectors[held])
    check_collapse(found, said)
    if not len(task.held):
        return Distilled(training=report, cosine=None, agreement=None, before=None)
    assert isinstance(task.loss, VectorLoss)
    basis = None if task.loss.basis is None else task.loss.basis.numpy()
    return Distilled(
        training=report,
        cosine=_cosine(found, said, basis=basis),
        agreement=neighbour_overlap(found, said),
        before=before,
    )
