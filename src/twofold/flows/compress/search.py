"""`compress`: the search over bodies, coats and runtimes, under a time budget."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.compress.frontier import Verdict, frontier, judge
from twofold.compress.measure import memory_of, parity
from twofold.compress.quantise.fusion import fuse
from twofold.compress.runtime import GRAPH, runtimes
from twofold.core.config import build
from twofold.core.errors import ArtifactError, ConfigError, TwofoldError
from twofold.core.ladder import Ladder, Rung
from twofold.core.stage import Progress
from twofold.core.threads import available_threads
from twofold.evaluate.protocol import machine
from twofold.evaluate.significance import bootstrap_interval, paired_test
from twofold.flows.compress.coats import Coat, Coated, Graphs, coats
from twofold.flows.compress.subject import Body, Making, Part, Subject
from twofold.flows.compress.weighing import MANY, QUICK, THOROUGH, Pace, Scales, Speed, steady_enough
from twofold.flows.compress.workspace import Workspace

__all__ = ["Compress", "Outcome", "compress"]

TEACHER = "teacher"
FUSED = "fused.onnx"
RESERVE = 0.15
"""Share of the budget that is kept for measuring the rungs of the ladder together at the end."""
OWN = 0.4
"""Share of the budget after which no more coats are put on the teacher's own body, so that others get their turn."""
TRAINING = 0.7
"""Share of the time for a trained body that training gets; the rest is for its coats."""
LEAST = 20.0
"""Seconds below which no body is trained."""
BEST = 2
"""How many of the coats that did well on the teacher are put on other bodies."""
SAME = 0.999
"""The least cosine of the export with the teacher in torch, in the worst row."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compress:
    """How a ladder is made."""

    floor: float = 0.98
    """Share of the teacher's quality that each rung must keep."""
    minutes: float = 15.0
    """Time for all; what is begun is ended."""
    seed: int = 0
    """Of everything random."""
    threads: int = 1
    """For a single query, the teacher's too; 0 for as many as this process may use. One, as a server that answers
    several at once has it: on a busy machine two threads of one query wait for each other, torch's most of all,
    so that a ratio to it tells more of the machine than of the rung."""
    steady: float = 0.99
    """The least cosine of what is said of a row alone with what is said of it in any batch."""
    runtimes: tuple[str, ...] = ()
    """Which runtimes are tried; empty for all that are installed."""
    bodies: tuple[str, ...] = ()
    """Which bodies are tried beside the teacher's own; empty for all."""
    quick: Pace = QUICK
    """How time is measured while searching."""
    thorough: Pace = THOROUGH
    """How time is measured for the rungs of the ladder."""

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1 or self.minutes <= 0:
            raise ValueError("compressing wants a quality floor from 0 to 1 and minutes above 0.")
        if self.threads < 0 or not 0 <= self.steady <= 1:
            raise ValueError("compressing wants threads of 0 or more, and steady from 0 to 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What `compress` found."""

    folder: Path
    """Holds `ladder.json`."""
    ladder: Ladder
    verdicts: tuple[Verdict, ...]
    """Of all variants, in the order in which they were made."""
    untried: tuple[str, ...]
    """Bodies for which there was no time."""
    seconds: float
    """That all took, what was done before a kill included."""


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
            seconds = self.left / max(trained, 1) * TRAINING if body.trained else self.left
            if self.workspace.done("bodies", body.name) is None and seconds < (LEAST if body.trained else 0):
                untried.append(body.name)
            elif self._body(body, seconds):
                for coat in known[:1] if body.whole else [known[0], *self._best(known)]:
                    self._variant(body, coat)
        return self._finish(untried)

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
        self.cases[TEACHER] = self.subject.quality(network, self.source, "choose")

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
            notes.extend(self._fused(folder))

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

    def _fused(self, folder: Path) -> Sequence[str]:
        content = (folder / GRAPH).read_bytes()
        notes: Sequence[str] = ()
        if self.subject.heads:
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
        network = self.scales.open(folder, runtime, self.threads)
        self.say(f"measuring the quality of {name}")
        cases = self.subject.quality(network, folder, "choose")
        notes = [*(self.workspace.done("bodies", body.name) or {}).get("notes", ()), *coated.notes]
        base = replace(
            _nothing(name),
            runtime=runtime,
            steps=(*body.steps, coat.name),
            notes=tuple(notes),
            parameters=self.subject.parameters(source),
        )
        rung = self._rung(base, folder, speeds[name], cases, self.cases[TEACHER])
        refused = steady_enough(network, self.subject.feeds("check", folder)[-1], self.options.steady)
        if parent in speeds and speeds[name].one.ratio(speeds[parent].one) < 1:
            times = speeds[name].one.ratio(speeds[parent].one)
            refused = refused or f"not faster than its parent, {parent}, on this machine ({times:.2f} times as fast)"
        if refused:
            shutil.rmtree(folder)
        return {"rung": asdict(rung), "cases": cases.tolist(), "refused": refused}

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

    def _rung(self, base: Rung, folder: Path, speed: Speed, cases: Values, teacher: Values) -> Rung:
        """Return a rung with what was measured."""
        low, high = bootstrap_interval(cases, rng=self.options.seed)
        return replace(
            base,
            quality=float(cases.mean()),
            quality_low=low,
            quality_high=high,
            kept=float(cases.mean() / teacher.mean()) if teacher.mean() else None,
            p_value=paired_test(cases, teacher, rng=self.options.seed).p_value,
            milliseconds=speed.one.median * 1000,
            slow_milliseconds=speed.one.p99 * 1000,
            rate=MANY / speed.many.median,
            speedup=speed.speedup,
            rate_gain=speed.gain,
            bytes=_size(folder),
            folder=folder.relative_to(self.workspace.folder).as_posix(),
        )

    def _best(self, known: Sequence[Coat]) -> list[Coat]:
        """Return the coats that did best on the teacher: fast, and above the floor."""
        good = {
            rung.name: (rung.speedup or 0) * (rung.rate_gain or 0)
            for rung in self.rungs
            if rung.name not in self.refused and (rung.kept or 0) >= self.options.floor
        }
        ranked = sorted((coat for coat in known[1:] if coat.name in good), key=lambda coat: -good[coat.name])
        return ranked[:BEST]

    # The ladder.

    def _finish(self, untried: Sequence[str]) -> Outcome:
        sound = [rung for rung in self.rungs if rung.name not in self.refused]
        judged = judge(self._level(sound), floor=self.options.floor)
        verdicts = {rung.name: replace(verdict, rung=rung) for rung, verdict in zip(sound, judged, strict=True)}
        chosen = [rung for rung in sound if not verdicts[rung.name].refused]
        if not chosen:
            raise ConfigError(
                f"no variant keeps {self.options.floor:g} of the teacher's quality; lower the quality floor."
            )
        measured, teacher = self._thorough(chosen)
        best = {rung.name for rung in frontier([replace(rung, quality=self._chosen(rung)) for rung in measured])}
        rungs = sorted((rung for rung in measured if rung.name in best), key=lambda rung: -rung.milliseconds)
        self.say("writing the ladder")
        ladder = Ladder(
            rungs=rungs, teacher=teacher, floor=self.options.floor, machine=machine(), protocol=self._protocol()
        ).write(self.workspace.folder)
        for rung in measured:
            late = "" if rung.name in best else "measured again beside the others, beaten by one of them"
            verdicts[rung.name] = Verdict(rung=rung, refused=late)
        for rung in self.rungs:
            if rung.name in self.refused:
                verdicts[rung.name] = Verdict(rung=rung, refused=self.refused[rung.name])
        listed = [verdicts[rung.name] for rung in self.rungs]
        unmade = [name for name in self.refused if name not in verdicts]
        listed += [Verdict(rung=_nothing(name), refused=self.refused[name]) for name in unmade]
        return Outcome(
            folder=self.workspace.folder,
            ladder=ladder,
            verdicts=tuple(listed),
            untried=tuple(untried),
            seconds=self.elapsed,
        )

    def _level(self, rungs: Sequence[Rung]) -> list[Rung]:
        """Return rungs with the times that their ratios to the teacher give, so that a busy minute beats none."""
        return [replace(rung, milliseconds=1000 / max(rung.speedup or 0, 1e-9)) for rung in rungs]

    def _chosen(self, rung: Rung) -> float:
        """Return the quality by which choices are made."""
        return float(self.cases[rung.name].mean())

    def _thorough(self, chosen: Sequence[Rung]) -> tuple[list[Rung], Rung]:
        """Measure the rungs of the ladder together, on the cases that no choice was made on."""
        self.say("measuring the rungs together")
        rivals = {rung.name: (self.workspace.folder / rung.folder, rung.runtime) for rung in chosen}
        speeds = self.scales.weigh(rivals, self.options.thorough)
        two = self.scales.weigh(rivals, replace(self.options.thorough, one=self.options.quick.one), threads=2)
        part: Part = "report"
        exported = self.scales.open(self.source, "onnxruntime", self.threads)
        cases = self.subject.quality(exported, self.source, part)
        found = []
        for rung in chosen:
            folder, runtime = rivals[rung.name]
            self.say(f"measuring the quality of {rung.name} on other cases")
            own = self.subject.quality(self.scales.open(folder, runtime, self.threads), folder, part)
            memory = memory_of(
                folder, runtime, output=self.subject.output, feed=self.subject.feeds("many", folder)[0], threads=1
            )
            base = replace(rung, rate_two=MANY / two[rung.name].many.median, memory=memory)
            found.append(self._rung(base, folder, speeds[rung.name], own, cases))
        low, high = bootstrap_interval(cases, rng=self.options.seed)
        speed = speeds["teacher"]
        teacher = Rung(
            name=f"{TEACHER}, {'torch' if self.subject.teacher(1) else 'onnxruntime'} float32",
            quality=float(cases.mean()),
            quality_low=low,
            quality_high=high,
            kept=1.0,
            milliseconds=speed.one.median * 1000,
            slow_milliseconds=speed.one.p99 * 1000,
            rate=MANY / speed.many.median,
            rate_two=MANY / two["teacher"].many.median,
            speedup=1.0,
            rate_gain=1.0,
            bytes=_size(self.source),
            parameters=self.subject.parameters(self.source),
            runtime="torch" if self.subject.teacher(1) else "onnxruntime",
        )
        return found, teacher

    def _protocol(self) -> dict[str, Any]:
        return {
            "what": self.subject.kind,
            "name": self.subject.name,
            **self.subject.about,
            "choices": "made on one part of the cases; the ladder's quality is of the other part",
            "teacher's quality": f"of its export, which says what torch says (cosine at least {SAME} in the worst row)",
            "one": f"median of one row of a query's length, threads: {self.threads}",
            "many": f"{MANY} rows of a document's length, one thread and two",
            "timing": "warmed up, in turns with the teacher; ratios are medians over turns",
            "memory": "resident bytes that a fresh process has more after opening it and one full batch",
            "runtimes": ", ".join(self.runtimes),
            "test": "paired randomisation, two-sided; intervals are bootstrap, 95 %",
            "seed": self.options.seed,
            "budget, minutes": self.options.minutes,
            "seconds spent": round(self.elapsed),
        }


def _fill(folder: Path, source: Path, content: bytes) -> None:
    """Write a rung's folder: what lies beside the body's graphs, and its own graph."""
    skipped = shutil.ignore_patterns(GRAPH.name, f"{GRAPH.name}.data", FUSED)
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=skipped)
    (folder / GRAPH).parent.mkdir(exist_ok=True)
    (folder / GRAPH).write_bytes(content)


def _size(folder: Path) -> int:
    """Return the bytes of what a rung needs; a body has its fused graph besides."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != FUSED)


def _nothing(name: str) -> Rung:
    return Rung(name=name, quality=float("nan"), milliseconds=float("nan"), bytes=0)
