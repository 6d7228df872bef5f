"""`Finishing`: of all variants, the ladder: those that nothing beats, measured together on cases of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twofold.compress.frontier import Verdict, frontier, judge
from twofold.compress.measure import memory_of
from twofold.core.errors import ConfigError
from twofold.core.ladder import Ladder, Rung
from twofold.core.threads import available_threads
from twofold.evaluate.protocol import machine
from twofold.evaluate.significance import bootstrap_interval
from twofold.flows.compress.options import Compress
from twofold.flows.compress.rung import Values, empty_rung, rung_of, size_of
from twofold.flows.compress.subject import Part, Subject
from twofold.flows.compress.weighing import MANY, Scales
from twofold.flows.compress.workspace import Workspace

__all__ = ["SAME", "TEACHER", "Finishing", "Outcome"]

TEACHER = "teacher"
SAME = 0.999
"""The least cosine of the export with the teacher in torch, in the worst row."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finishing:
    """What a search found, and how it was measured."""

    subject: Subject
    workspace: Workspace
    options: Compress
    scales: Scales
    source: Path
    """The teacher's own folder."""
    threads: int
    runtimes: Sequence[str]
    rungs: Sequence[Rung]
    refused: Mapping[str, str]
    """Name of a body or a rung to the reason."""
    cases: Mapping[str, Values]
    """Quality by which choices are made, of each rung."""
    say: Callable[[str], None]
    elapsed: Callable[[], float]

    def whole(self, untried: Sequence[str]) -> Outcome:
        """Choose, measure together what was chosen, and write the ladder.

        Args:
            untried: bodies for which there was no time.

        Raises:
            ConfigError: no variant keeps enough quality.
        """
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
        listed += [Verdict(rung=empty_rung(name), refused=self.refused[name]) for name in unmade]
        return Outcome(
            folder=self.workspace.folder,
            ladder=ladder,
            verdicts=tuple(listed),
            untried=tuple(untried),
            seconds=self.elapsed(),
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
        every = available_threads()
        exported = self.scales.open(self.source, "onnxruntime", every)
        cases = self.subject.quality(exported, self.source, part)
        found = []
        for rung in chosen:
            folder, runtime = rivals[rung.name]
            self.say(f"measuring the quality of {rung.name} on other cases")
            own = self.subject.quality(self.scales.open(folder, runtime, every), folder, part)
            memory = memory_of(
                folder, runtime, output=self.subject.output, feed=self.subject.feeds("many", folder)[0], threads=1
            )
            base = replace(rung, rate_two=MANY / two[rung.name].many.median, memory=memory)
            found.append(rung_of(base, folder, speeds[rung.name], own, cases, seed=self.options.seed))
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
            bytes=size_of(self.source),
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
            "seconds spent": round(self.elapsed()),
        }
