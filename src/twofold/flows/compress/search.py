"""`compress`: the search over bodies, coats and runtimes, under a time budget."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twofold.compress.measure import parity
from twofold.compress.quantise.fusion import fuse
from twofold.compress.runtime import GRAPH, runtimes, write_graph
from twofold.core.config import build
from twofold.core.errors import ArtifactError, ConfigError, TwofoldError
from twofold.core.ladder import Rung
from twofold.core.stage import Progress
from twofold.core.threads import available_threads
from twofold.flows.compress.coats import Coat, Coated, Graphs, coats
from twofold.flows.compress.finishing import SAME, TEACHER, Finishing, Outcome
from twofold.flows.compress.options import Compress
from twofold.flows.compress.rung import FUSED, Values, empty_rung, rung_of, size_of
from twofold.flows.compress.subject import Body, Making, Subject
from twofold.flows.compress.weighing import Scales, Speed, steady_enough
from twofold.flows.compress.workspace import Workspace

__all__ = ["compress"]

RESERVE = 0.15
"""Share of the budget that is kept for measuring the rungs of the ladder together at the end."""
OWN = 0.3
"""Share of the budget after which no more coats are put on the teacher's own body, so that others get their turn."""
TURN = 0.35
"""Share of what is left that a trained body gets at least; where several take turns, the first learn for longer, since
they promise most."""
TRAINING = 0.7
"""Share of the time for a trained body that training gets; the rest is for its coats."""
LEAST = 20.0
"""Seconds below which no body is trained."""
AS_GOOD = 0.995
"""Share of the teacher's quality that a coat must keep for slower coats of its body to be left unjudged."""
BEST = 2
"""How many of the coats that did well on the teacher are put on other bodies."""


def compress(
    subject: Subject,
    folder: Path,
    options: Compress | None = None,
    *,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Make a ladder out of a teacher: bodies, each with several coats, each with the runtime that is fastest here.

    Every finished body and variant stays in the folder with what was measured, so that a run that was killed, or
    one with a larger budget, goes on where the last one ended.

    Args:
        subject: the teacher, its data and its judge.
        folder: where all is kept and `ladder.json` is written.
        options: how; see `Compress`.
        progress: told what is being done and how much time is left, with the seconds spent, and of how many.
        clock: seconds that only rise.

    Raises:
        ConfigError: another run is at work in the folder, or it belongs to another one; the export does not say what
            the teacher says; or no variant keeps enough quality.
        ArtifactError: the disk is full, or the folder cannot be written.
    """
    options = options or Compress()
    key = hashlib.sha256(json.dumps([subject.fingerprint(), options.seed, options.steady]).encode()).hexdigest()
    with Workspace(folder, key) as workspace:
        return _Run(subject, workspace, options, progress, clock).whole()


class _Run:
    """One call of `compress`."""

    def __init__(
        self,
        subject: Subject,
        workspace: Workspace,
        options: Compress,
        progress: Progress | None,
        clock: Callable[[], float],
    ) -> None:
        self.subject, self.workspace, self.options = subject, workspace, options
        self.tell, self.clock = progress, clock
        self.budget, self.begun, self.before = options.minutes * 60, clock(), self._spent()
        self.threads = options.threads or available_threads()
        self.runtimes = options.runtimes or runtimes()
        self.rungs: list[Rung] = []
        self.refused: dict[str, str] = {}
        self.cases: dict[str, Values] = {}
        self.source = workspace.path("bodies", TEACHER)
        self.scales = Scales(subject, self.source, self.threads)

    @property
    def elapsed(self) -> float:
        """Seconds spent, those before a kill included."""
        return self.before + self.clock() - self.begun

    @property
    def left(self) -> float:
        """Seconds that are left for searching."""
        return self.budget * (1 - RESERVE) - self.elapsed

    def _spent(self) -> float:
        noted = (self.workspace.folder / part for part in ("bodies", "rungs"))
        spent = 0.0
        for file in (file for folder in noted for file in folder.glob("*.json")):
            try:
                spent += float(json.loads(file.read_text(encoding="utf-8")).get("seconds", 0))
            except (ValueError, OSError):
                continue
        return spent

    def say(self, what: str) -> None:
        """Tell what is being done."""
        if self.tell is not None:
            left = max(self.budget - self.elapsed, 0)
            shown = f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"
            self.tell(f"compress: {what}, {shown}", int(min(self.elapsed, self.budget)), int(self.budget))

    def whole(self) -> Outcome:
        """Do everything."""
        self._source()
        own = Body(name=TEACHER, make=self.subject.export, steps=())
        known = coats()
        for coat in known:
            if self.elapsed < OWN * self.budget or coat.name in ("float32", "int8"):
                self._variant(own, coat)
        bodies = [body for body in self.subject.bodies() if not self.options.bodies or body.name in self.options.bodies]
        untried = []
        for place, body in enumerate(bodies):
            trained = sum(other.trained for other in bodies[place:])
            seconds = self.left * max(1 / max(trained, 1), TURN) * TRAINING if body.trained else self.left
            if self.workspace.done("bodies", body.name) is None and seconds < (LEAST if body.trained else 0):
                untried.append(body.name)
            elif self._body(body, seconds):
                for coat in known[:1] if body.whole else [known[0], *self._best(known)]:
                    self._variant(body, coat)
        return Finishing(
            subject=self.subject,
            workspace=self.workspace,
            options=self.options,
            scales=self.scales,
            source=self.source,
            threads=self.threads,
            runtimes=self.runtimes,
            rungs=self.rungs,
            refused=self.refused,
            cases=self.cases,
            say=self.say,
            elapsed=lambda: self.elapsed,
        ).whole(untried)

    # Bodies.

    def _source(self) -> None:
        """Export the teacher and hold it to what torch says."""
        own = Body(name=TEACHER, make=self.subject.export, steps=())
        if not self._body(own, self.left):
            raise ConfigError(self.workspace.done("bodies", TEACHER)["refused"])  # type: ignore[index]
        network = self.scales.open(self.source, "onnxruntime", self.threads)
        teacher = self.subject.teacher(self.threads)
        if teacher is not None and self.workspace.done("rungs", self._named(own, coats()[0])) is None:
            self.say("comparing the export with torch")
            worst = parity(network, teacher, self.subject.feeds("check", self.source))
            if worst < SAME:
                raise ConfigError(
                    f"the export of {self.subject.name} does not say what the model in torch says (cosine down to "
                    f"{worst:.4f}); a layer was lost on the way, so report the model's name."
                )
        self.subject.prepare(network, self.source)
        self.say("measuring the teacher's quality")
        every = self.scales.open(self.source, "onnxruntime", available_threads())
        self.cases[TEACHER] = self.subject.quality(every, self.source, "choose")

    def _body(self, body: Body, seconds: float) -> bool:
        """Make a body, unless it is there; return whether there is one."""
        noted = self.workspace.done("bodies", body.name)
        if noted is not None:
            return not noted.get("refused")
        begun, notes = self.clock(), list[str]()
        self.say(f"making {body.name}")

        def fill(folder: Path) -> None:
            with self.workspace.scratch(body.name) as scratch:
                making = Making(
                    folder=folder,
                    scratch=scratch,
                    source=self.source,
                    seconds=seconds,
                    seed=self.options.seed,
                    progress=lambda what, _done, _of: self.say(f"{body.name}: {what}".replace(":", ",")),
                )
                notes.extend(body.make(making))
            notes.extend(self._fused(folder, attends=not body.whole))

        refused = ""
        try:
            self.workspace.make("bodies", body.name, fill)
        except ArtifactError:
            raise
        except TwofoldError as error:
            refused = str(error)
        except Exception as error:  # of one model or another, the libraries lack something, and each says so otherwise
            refused = f"it cannot be made of this model ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        noted = {"notes": notes, "refused": refused, "seconds": self.clock() - begun}
        self.workspace.note("bodies", body.name, noted)
        if refused:
            self.refused[body.name] = refused
        return not refused

    def _fused(self, folder: Path, *, attends: bool) -> Sequence[str]:
        content = (folder / GRAPH).read_bytes()
        notes: Sequence[str] = ()
        if self.subject.heads and attends:
            try:
                subject = self.subject
                made = fuse(content, subject.heads, subject.width, family=subject.family)  # type: ignore[arg-type]
                content, notes = made.content, made.notes
            except (TwofoldError, RuntimeError, ValueError) as error:
                notes = (f"its attention was not fused: {' '.join(str(error).split())[:200]}",)
        (folder / FUSED).write_bytes(content)
        return notes

    # Variants.

    def _named(self, body: Body, coat: Coat) -> str:
        if body.whole or body.name == TEACHER:
            return body.name if body.whole else coat.name
        return f"{body.name}, {coat.name}"

    def _variant(self, body: Body, coat: Coat) -> None:
        name = self._named(body, coat)
        noted = self.workspace.done("rungs", name)
        if noted is None:
            begun = self.clock()
            self.say(f"making {name}")
            noted = self._made(body, coat, name)
            self.workspace.note("rungs", name, {**noted, "seconds": self.clock() - begun})
        if noted.get("rung"):
            self.rungs.append(build(Rung, noted["rung"], name))
            self.cases[name] = np.array(noted["cases"], np.float64)
        if noted["refused"]:
            self.refused[name] = noted["refused"]

    def _made(self, body: Body, coat: Coat, name: str) -> dict[str, Any]:
        """Make and weigh a variant, and return what is noted of it."""
        source = self.workspace.path("bodies", body.name)
        graphs = Graphs(plain=(source / GRAPH).read_bytes(), fused=(source / FUSED).read_bytes())
        try:
            made = coat.put(graphs, self.subject.feeds("calibrate", source) if coat.quantised else [])
            folder, coated, runtime = self._fastest(source, name, made)
        except ArtifactError:
            raise
        except TwofoldError as error:
            return {"refused": str(error)}
        parent = self._named(body, coats()[0]) if coat.quantised else ""
        speeds = self._speeds(name, folder, runtime, parent)
        slow = self._slower(speeds, name, parent)
        if not slow and (beaten := self._beaten(body, speeds[name], folder)):
            shutil.rmtree(folder)
            return {"refused": beaten}
        network = self.scales.open(folder, runtime, available_threads())
        self.say(f"measuring the quality of {name}")
        cases = self.subject.quality(network, folder, "choose")
        notes = [*(self.workspace.done("bodies", body.name) or {}).get("notes", ()), *coated.notes]
        base = replace(
            empty_rung(name),
            runtime=runtime,
            steps=(*body.steps, coat.name),
            notes=tuple(notes),
            parameters=self.subject.parameters(source),
        )
        rung = rung_of(base, folder, speeds[name], cases, self.cases[TEACHER], seed=self.options.seed)
        refused = steady_enough(network, self.subject.feeds("check", folder)[-1], self.options.steady) or slow
        if refused:
            shutil.rmtree(folder)
        return {"rung": asdict(rung), "cases": cases.tolist(), "refused": refused}

    def _slower(self, speeds: Mapping[str, Speed], name: str, parent: str) -> str:
        """Return why a variant is of no use that is no faster than what it was made of."""
        times = speeds[name].one.ratio(speeds[parent].one) if parent in speeds else 1
        return f"not faster than its parent, {parent}, on this machine ({times:.2f} times as fast)" if times < 1 else ""

    def _beaten(self, body: Body, speed: Speed, folder: Path) -> str:
        """Return why a variant need not be judged: another coat of its body is faster, smaller and as good."""
        for rung in self.rungs:
            same = rung.steps[:-1] == body.steps and rung.name not in self.refused and (rung.kept or 0) >= AS_GOOD
            faster = (rung.speedup or 0) > speed.speedup and (rung.rate_gain or 0) > speed.gain
            if same and faster and rung.bytes <= size_of(folder):
                return (
                    f"its quality was not measured: {rung.name} is faster ({rung.speedup:.1f} and {rung.rate_gain:.1f} "
                    f"times the teacher's speed, against {speed.speedup:.1f} and {speed.gain:.1f}), no larger, and "
                    f"keeps {rung.kept:.1%}"
                )
        return ""

    def _fastest(self, source: Path, name: str, made: Sequence[Coated]) -> tuple[Path, Coated, str]:
        """Write the graph that is fastest with its runtime as the variant's folder.

        Raises:
            ConfigError: no runtime can run any.
        """
        trials: dict[str, tuple[Path, Coated, str]] = {}
        failed: list[str] = []
        for place, coated in enumerate(made):
            fill = partial(_fill, source=source, content=coated.content)
            folder = self.workspace.make("rungs", f"{name} try {place}", fill)
            for runtime in [r for r in coated.runtimes if r in self.runtimes]:
                if why := self.scales.usable(folder, [runtime]):
                    failed.append(f"{runtime}: {why[runtime]}")
                else:
                    trials[f"{place} {runtime}"] = folder, coated, runtime
        try:
            if not trials:
                raise ConfigError("; ".join(failed) or "no runtime that is installed runs it")
            best = next(iter(trials))
            if len(trials) > 1:
                rivals = {key: (folder, runtime) for key, (folder, _, runtime) in trials.items()}
                speeds = self.scales.weigh(rivals, self.options.quick)
                best = max(trials, key=lambda key: speeds[key].score)
            folder, coated, runtime = trials[best]
            final = self.workspace.path("rungs", name)
            shutil.rmtree(final, ignore_errors=True)
            folder.rename(final)
            return final, coated, runtime
        finally:
            for place in range(len(made)):
                shutil.rmtree(self.workspace.path("rungs", f"{name} try {place}"), ignore_errors=True)

    def _speeds(self, name: str, folder: Path, runtime: str, parent: str) -> dict[str, Speed]:
        rivals = {name: (folder, runtime)}
        above = next((rung for rung in self.rungs if rung.name == parent), None)
        if above is not None and (self.workspace.folder / above.folder).is_dir():
            rivals[parent] = self.workspace.folder / above.folder, above.runtime
        return self.scales.weigh(rivals, self.options.quick)

    def _best(self, known: Sequence[Coat]) -> list[Coat]:
        """Return the coats that did best on the teacher: fast, and above the floor."""
        good = {
            rung.name: (rung.speedup or 0) * (rung.rate_gain or 0)
            for rung in self.rungs
            if rung.name not in self.refused and (rung.kept or 0) >= self.options.floor
        }
        ranked = sorted((coat for coat in known[1:] if coat.name in good), key=lambda coat: -good[coat.name])
        return ranked[:BEST]


def _fill(folder: Path, source: Path, content: bytes) -> None:
    """Write a rung's folder: what lies beside the body's graphs, and its own graph."""
    skipped = shutil.ignore_patterns(GRAPH.name, f"{GRAPH.name}.data", FUSED)
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=skipped)
    write_graph(folder, content)
