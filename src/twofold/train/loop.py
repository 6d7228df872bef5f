"""`train`: one loop for all neural stages. It ends on time, keeps the best weights, and goes on after a kill."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch

from twofold.core.errors import ConfigError, DataError
from twofold.core.stage import Progress
from twofold.train.checkpoint import Checkpoint, Weights, random_state, set_random_state, trained_weights
from twofold.train.options import Training
from twofold.train.precision import autocast

__all__ = ["Task", "TrainingReport", "train"]

B = TypeVar("B")
Clock = Callable[[], float]
Stopped = Literal["epochs", "steps", "time", "patience"]
SMOOTH = 0.98
"""Weight of what came before in the running mean of the loss."""
SPEAK = 0.5
"""Seconds from one report of progress to the next."""


class Task(Protocol[B]):
    """What is trained, on what, and how well it does."""

    @property
    def module(self) -> torch.nn.Module:
        """What is trained: its parameters that require a gradient."""
        ...

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterable[B]:
        """Return the batches of an epoch: always the same ones for the same epoch and state of `rng`.

        All chance comes from `rng`, none from torch. Where the result has a length, it is not counted first.
        """
        ...

    def backward(self, batch: B) -> float:
        """Compute the loss of a batch, add its gradients to those of the module, and return it.

        Chance comes from torch, so that a resumed training sees the same.
        """
        ...

    def quality(self) -> float | None:
        """Return the held-out quality, larger is better; None where nothing is held out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """How a training went."""

    steps: int
    epochs: float
    """How often the data were gone through."""
    seconds: float
    """Time spent, that before a kill included."""
    loss: float
    """Running mean at the end."""
    quality: float | None
    """Held-out quality of the weights that were kept."""
    stopped: Stopped
    evaluations: tuple[tuple[int, float], ...]
    """Step and held-out quality, each time it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """Where a training stands."""

    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    step: int = 0
    elapsed: float = 0.0
    loss: float | None = None
    best: float | None = None
    poor: int = 0
    """Evaluations since the best one."""
    slowest: float = 0.0
    """Seconds of the longest evaluation, which are set aside for the last one."""
    evaluations: tuple[tuple[int, float], ...] = ()
    stopped: Stopped | None = None


def train(
    task: Task[B],
    options: Training,
    *,
    seed: int,
    checkpoint: Path | None = None,
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    clock: Clock = time.monotonic,
) -> TrainingReport:
    """Train a module with AdamW and leave it with the weights of the best held-out quality, in evaluation mode.

    The same seed gives the same weights, and so does a training that was killed and goes on from its checkpoint,
    to the bit, as long as steps and not the clock say where the learning rate stands. The caller's random
    generators are left as they were. Source of the optimiser: Loshchilov & Hutter, ICLR 2019.

    Args:
        task: what is trained.
        options: how long and how.
        seed: of the order of the batches and of torch.
        checkpoint: a folder to write to now and then; where it holds a checkpoint, training goes on from there.
        about: what else the weights depend on, such as the data's fingerprint, as plain values; a checkpoint
            that says otherwise is refused.
        progress: told the loss, the held-out quality and the time left, with steps done and steps expected.
        clock: seconds that only rise.

    Raises:
        ArtifactError: the checkpoint is damaged, belongs to another training, or cannot be written.
        ConfigError: the loss is no number, or the machine has not the precision asked for.
        DataError: there is no batch to learn from.
    """
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices), _threads(options.threads), _any_shape():
        torch.manual_seed(seed)
        return _Run(
            task, options, seed=seed, checkpoint=checkpoint, about=about or {}, progress=progress, clock=clock
        ).whole()


class _Run:
    """One call of `train`."""

    def __init__(
        self,
        task: Task[Any],
        options: Training,
        *,
        seed: int,
        checkpoint: Path | None,
        about: Mapping[str, Any],
        progress: Progress | None,
        clock: Clock,
    ) -> None:
        self.task, self.module, self.options, self.seed = task, task.module, options, seed
        self.folder, self.progress, self.clock = checkpoint, progress, clock
        trained = [value for value in self.module.parameters() if value.requires_grad]
        if not trained:
            raise ConfigError("no parameter of the model is trained; thaw some, or train another model.")
        self.trained = trained
        self.device = trained[0].device
        self.autocast = autocast(self.device, options.precision)
        matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        fused = self.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=options.lr, fused=fused)
        self.owner = self._owner(about)
        self.at = _Position()
        self.best: Weights = {}
        self.ticked = self.saved = self.spoke = clock()
        self.epoch_steps = 0

    def _owner(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a checkpoint must have in common with this training to be gone on from."""
        options = asdict(self.options)
        for free in ("checkpoint_minutes", "threads"):
            del options[free]
        shapes = {name: list(value.shape) for name, value in trained_weights(self.module).items()}
        return {"seed": self.seed, "options": options, "weights": shapes, **about}

    def whole(self) -> TrainingReport:
        """Train from the start or the checkpoint to the end."""
        resumed = self._resume()
        if not resumed and self.options.evaluate_first:
            self._evaluate()
        while self.at.stopped is None:
            self._epoch()
        if self.best:
            self.module.load_state_dict(self.best, strict=False)
        self.module.eval()
        at = self.at
        assert at.stopped is not None
        return TrainingReport(
            steps=at.step,
            epochs=at.epoch + at.batch / max(self.epoch_steps, at.batch, 1),
            seconds=at.elapsed,
            loss=math.nan if at.loss is None else at.loss,
            quality=at.best,
            stopped=at.stopped,
            evaluations=at.evaluations,
        )

    def _epoch(self) -> None:
        """Go through what is left of an epoch."""
        batches = self.task.batches(self.at.epoch, np.random.default_rng([self.seed, self.at.epoch]))
        self._count(batches)
        for batch in islice(iter(batches), self.at.batch, None):
            self._step(batch)
            if self._over():
                return
        if not self.at.batch:
            raise DataError("there is nothing to train on; give more data.")
        if not self.options.evaluate_every:
            self._evaluate()
        self.at = replace(self.at, epoch=self.at.epoch + 1, batch=0)
        self._over()

    def _count(self, batches: Iterable[Any]) -> None:
        """Learn how many steps an epoch has, where that says when the training ends."""
        if isinstance(batches, Sized):
            self.epoch_steps = len(batches)
        elif not self.epoch_steps and self.options.epochs is not None:
            rng = np.random.default_rng([self.seed, self.at.epoch])
            self.epoch_steps = sum(1 for _ in self.task.batches(self.at.epoch, rng))

    def _step(self, batch: Any) -> None:
        """Learn from one batch; evaluate and write a checkpoint where it is time."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * rate(self._share(1), self.options.warmup)
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast:
            loss = self.task.backward(batch)
        if not math.isfinite(loss):
            raise ConfigError(
                f"the loss is {loss} after {self.at.step} steps; train with a smaller lr than {self.options.lr}, "
                "or with precision = 'float32'."
            )
        if self.options.clip:
            torch.nn.utils.clip_grad_norm_(self.trained, self.options.clip)
        self.optimizer.step()
        mean = loss if self.at.loss is None else SMOOTH * self.at.loss + (1 - SMOOTH) * loss
        self.at = replace(self.at, step=self.at.step + 1, batch=self.at.batch + 1, loss=mean)
        self._tick()
        if self.options.evaluate_every and self.at.step % self.options.evaluate_every == 0:
            self._evaluate()
        self._tell()

    def _over(self) -> bool:
        """Say whether the training has ended, and write a checkpoint where one is due."""
        at, options = self.at, self.options
        if at.stopped is None:
            if options.steps is not None and at.step >= options.steps:
                self._stop("steps")
            elif options.epochs is not None and at.epoch >= options.epochs:
                self._stop("epochs")
            elif self._time_share() >= 1:
                self._stop("time")
        due = self.clock() - self.saved >= 60 * options.checkpoint_minutes
        if self.folder is not None and (due or self.at.stopped):
            self._save(self.folder)
        return self.at.stopped is not None

    def _stop(self, why: Stopped) -> None:
        """End the training; its last weights are evaluated too."""
        if not self.at.evaluations or self.at.evaluations[-1][0] < self.at.step:
            self._evaluate()
        self.at = replace(self.at, stopped=why)

    def _evaluate(self) -> None:
        """Measure the held-out quality, and keep the weights where it is the best."""
        begun = self.clock()
        self.module.eval()
        with torch.no_grad(), self.autocast:
            quality = self.task.quality()
        if quality is None:
            return
        at = self.at
        better = math.isfinite(quality) and (at.best is None or quality > at.best)
        poor = 0 if better else at.poor + 1
        if better:
            self.best = trained_weights(self.module)
        self.at = replace(
            at,
            best=quality if better else at.best,
            poor=poor,
            stopped="patience" if 0 < self.options.patience <= poor else at.stopped,
            slowest=max(at.slowest, self.clock() - begun),
            evaluations=(*at.evaluations, (at.step, quality)),
        )
        self._tick()
        self._tell(now=True)

    def _tick(self) -> None:
        """Count the time since the last tick."""
        now = self.clock()
        self.at = replace(self.at, elapsed=self.at.elapsed + now - self.ticked)
        self.ticked = now

    def _time_share(self) -> float:
        """Return the share of the time budget that is spent; an evaluation at the end must fit in."""
        if self.options.minutes is None:
            return 0.0
        budget = max(60 * self.options.minutes - self.at.slowest, 1e-9)
        return self.at.elapsed / budget

    def _share(self, ahead: int = 0) -> float:
        """Return the share of the training that is done, `ahead` steps from now: by steps or by time, the larger."""
        options, step = self.options, self.at.step + ahead
        shares = [self._time_share()]
        if options.steps is not None:
            shares.append(step / (options.steps + ahead))
        if options.epochs is not None and self.epoch_steps:
            shares.append(step / (options.epochs * self.epoch_steps + ahead))
        return min(max(shares), 1.0)

    def _tell(self, *, now: bool = False) -> None:
        """Report progress, not more often than people can read."""
        if self.progress is None or not (now or self.clock() - self.spoke >= SPEAK):
            return
        self.spoke = self.clock()
        at, share = self.at, self._share()
        said = ["train"] if at.loss is None else [f"train: loss {at.loss:.4g}"]
        if at.best is not None:
            said.append(f"held out {at.evaluations[-1][1]:.4f} (best {at.best:.4f})")
        if share > 0 and at.elapsed > 0:
            said.append(f"{spoken(at.elapsed * (1 - share) / share)} left")
        self.progress(", ".join(said), at.step, max(at.step, round(at.step / share) if share else 1))

    def _save(self, folder: Path) -> None:
        moments = {
            f"{index}.{key}": value
            for index, state in self.optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }
        Checkpoint(
            position=asdict(self.at),
            weights=trained_weights(self.module),
            optimizer=moments,
            best=self.best,
            random=random_state(),
        ).save(folder, self.owner)
        self.saved = self.clock()

    def _resume(self) -> bool:
        """Go on from the checkpoint; say whether there was one."""
        found = None if self.folder is None else Checkpoint.load(self.folder, self.owner)
        if found is None:
            return False
        self.module.load_state_dict(found.weights, strict=False)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in found.optimizer.items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.best = found.best
        evaluations = tuple((int(step), float(quality)) for step, quality in found.position["evaluations"])
        self.at = _Position(**{**found.position, "evaluations": evaluations})
        set_random_state(found.random)
        return True


def rate(share: float, warmup: float) -> float:
    """Return the learning rate as a share of the largest: a linear rise, then half a cosine down to 0.

    >>> [round(rate(share, 0.2), 3) for share in (0.1, 0.2, 0.6, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if share < warmup:
        return share / warmup
    return 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))


def spoken(seconds: float) -> str:
    """Return a time as people say it.

    >>> spoken(42.4), spoken(600), spoken(5400)
    ('42 s', '10 min', '1.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use so many threads inside; 0 leaves them as they are."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _any_shape() -> Iterator[None]:
    """Keep cuDNN from attention inside: it plans anew for each shape, and batches are of many.

    On an H200 a step of a small transformer took 60 ms with it and 12 ms without, in higher precision.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
