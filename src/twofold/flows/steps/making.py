"""`make_steps`: measure an artifact at settings of its stages, and keep the steps that no other beats."""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twofold.compress.frontier import frontier
from twofold.compress.measure import Rounds
from twofold.compress.runtime import open_runtime
from twofold.core.artifact import Artifact
from twofold.core.dataset import Dataset
from twofold.core.errors import ArtifactError, ConfigError, nearest
from twofold.core.ladder import LADDER, Ladder, Rung, Setting
from twofold.core.pipeline import Pipeline
from twofold.core.rungs import Scaled, put_ladder
from twofold.core.stage import Encoder, Progress
from twofold.core.threads import available_threads
from twofold.evaluate import machine
from twofold.flows.steps.bench import Bench, Cost, Worth
from twofold.flows.steps.dials import Dial, Places, Weighed, descend, dials_of, named, settings_of
from twofold.flows.steps.questions import K, Questions, held_out

__all__ = ["Steps", "make_steps", "stage_ladders", "write_steps"]

WORTH_IT = 0.9
"""A step takes at most such a share of the time of the one above it."""
TIME_UP = "the time was up before all was tried; a larger budget tries more"
QUICK, THOROUGH = Rounds(seconds=0.4, least=7, most=60), Rounds(seconds=20.0, least=21, most=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How steps are made."""

    floor: float = 0.8
    """Share of the artifact's own quality that each step keeps, of the kind of query that loses most."""
    minutes: float = 10.0
    """Time to try combinations; what is begun is ended, and the steps are measured once more after it."""
    most: int = 8
    """Steps of the ladder."""
    questions: int = 400
    """At most so many of each kind, half to choose by and half to report."""
    seed: int = 0
    """Of everything random."""
    quick: Rounds = QUICK
    """How time is measured while combinations are tried, for each kind of query."""
    thorough: Rounds = THOROUGH
    """How it is for the steps of the ladder."""

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1 or self.minutes <= 0 or self.most < 1 or self.questions < 1:
            raise ValueError("steps want a quality floor from 0 to 1, minutes above 0, and most and questions >= 1.")


def make_steps(
    artifact: Path,
    ladders: Mapping[str, Path],
    options: Steps | None = None,
    *,
    newer: Dataset | None = None,
    progress: Progress | None = None,
) -> Ladder:
    """Try settings of the stages of an artifact, and return those that nothing beats as a ladder, each measured.

    Combinations are tried as `descend` does, on one half of the questions; the frontier is then measured on the other
    half, all steps in turns. Quality is nDCG@10 of the slates as a share of the artifact's own, of the kind of query
    that loses most. The folders of the rungs are absolute; `write_steps` brings them together.

    Args:
        artifact: a fitted pipeline.
        ladders: what `compress` made of its stages, by their names in the recipe.
        options: how.
        newer: events and searches that the artifact was not fitted on; see `held_out`.
        progress: told what is being done.

    Raises:
        ArtifactError: the artifact or a ladder cannot be read, or a ladder is of another model.
        DataError: there is too little to measure by.
    """
    options = options or Steps()
    opened, pipeline = Artifact.open(artifact), Pipeline.load(artifact)
    read = {name: _placed(Ladder.read(folder), folder) for name, folder in ladders.items()}
    dials = dials_of(pipeline, read)
    top: Places = (0,) * len(dials)
    draft = Ladder(rungs=[_rung(named(dials, top), settings_of(dials, top))], stages=read)
    threads = max(1, available_threads() - 1)  # as in a server, where one is left to requests that come meanwhile
    rungs = put_ladder(pipeline, draft, artifact, partial(open_runtime, threads=threads))
    questions = held_out(pipeline, options.questions, np.random.default_rng(options.seed), newer=newer)
    fitted = settings_of(dials, top)
    bench = Bench(pipeline, list(rungs.values()), questions, fitted, seconds=60 * options.minutes)
    until = time.monotonic() + 60 * options.minutes
    tried = _tried(bench, dials, options, until, progress)
    in_time = time.monotonic() < until
    best = _kept([_rung(named(dials, place), settings_of(dials, place), one) for place, one in tried.items()], options)
    again = {rung.name: rung for rung in (draft.rungs[0], *best)}
    if progress:
        progress(f"steps: {len(again)} once more", len(tried), len(tried))
    costs = bench.costs({name: rung.settings for name, rung in again.items()}, options.thorough)
    measured = [
        _measured(rung, bench.worth(rung.settings, "report"), costs[name], costs[draft.rungs[0].name], read)
        for name, rung in again.items()
    ]
    return Ladder(
        rungs=_kept(measured, options),
        floor=options.floor,
        machine=machine(),
        protocol={
            **_protocol(questions, options, threads),
            "asked": {part: {kind: len(some) for kind, some in half.items()} for part, half in bench.parts.items()},
            "ended": "all that was worth trying was tried" if in_time else TIME_UP,
            "tried": {named(dials, place): [one.quality, one.milliseconds] for place, one in tried.items()},
        },
        artifact=opened.manifest["sha256"],
        stages=read,
    )


def stage_ladders(artifact: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Return ladders by the names of the stages that they are of; one made of a bare text encoder is of the only one.

    Raises:
        ArtifactError: the artifact or a ladder cannot be read.
        ConfigError: a ladder is of no stage that can run it, or two are of the same.
    """
    pipeline = Pipeline.load(artifact)
    able = [name for name, stage in pipeline.stages.items() if isinstance(stage, Scaled)]
    encoders = [name for name in able if isinstance(pipeline.stages[name], Encoder)]
    found: dict[str, Path] = {}
    for folder in folders:
        about = Ladder.read(folder, check=False)
        name = str(about.protocol.get("name"))
        if name not in pipeline.stages and about.protocol.get("what") == "text encoder" and len(encoders) == 1:
            name = encoders[0]
        if name not in able:
            raise ConfigError(
                f"the ladder in {folder} is of {name!r}, and {artifact} has no text encoder, sequential model or "
                f"cross-encoder of that name; {nearest(name, able)}"
            )
        if name in found:
            raise ConfigError(f"the ladders in {found[name]} and {folder} are both of {name!r}; leave one out.")
        found[name] = folder
    return found


def write_steps(ladder: Ladder, folder: Path) -> Ladder:
    """Write a pipeline's ladder with copies of the rungs that its steps use, whole or not at all.

    Raises:
        ArtifactError: it cannot be written, or something that is no ladder is there.
    """
    if folder.exists() and not (folder / LADDER).is_file():
        raise ArtifactError(f"{folder} exists and is no ladder; give another folder or remove it.")
    stages = {}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, one in ladder.stages.items():
                used = {step.settings[name].rung for step in ladder.rungs}
                rungs = [rung for rung in one.rungs if rung.name in used]
                moved = [replace(rung, folder=f"{name}/{place}") for place, rung in enumerate(rungs)]
                for rung, copy in zip(rungs, moved, strict=True):
                    shutil.copytree(rung.folder, temporary / copy.folder)
                if moved:
                    stages[name] = replace(one, rungs=moved, teacher=None)
            written = replace(ladder, stages=stages).write(temporary)
            temporary.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be written ({error.strerror}); check the folder above it.") from error
    return written


def _placed(ladder: Ladder, folder: Path) -> Ladder:
    """Return a ladder whose rungs' folders are absolute."""
    return replace(ladder, rungs=[replace(rung, folder=str((folder / rung.folder).resolve())) for rung in ladder.rungs])


def _tried(
    bench: Bench, dials: Sequence[Dial], options: Steps, until: float, progress: Progress | None
) -> dict[Places, Weighed]:
    """Weigh combinations until the time is up; times are told in turns with the top, so that they can be compared."""
    fitted = settings_of(dials, (0,) * len(dials))
    whole, count = 0.0, 0

    def weigh(place: Places) -> Weighed:
        nonlocal whole, count
        if progress:
            progress(f"steps: {named(dials, place)}", count, count + 1)
        count += 1
        settings = settings_of(dials, place)
        costs = bench.costs({"as fitted": fitted, "this": settings}, options.quick)
        now, this = costs["as fitted"].milliseconds(costs["as fitted"]), costs["this"].milliseconds(costs["as fitted"])
        whole = whole or now
        return Weighed(bench.worth(settings, "choose").quality, whole * this / now)

    return descend([len(dial.values) for dial in dials], weigh, lambda: time.monotonic() < until)


def _kept(rungs: Sequence[Rung], options: Steps) -> list[Rung]:
    """Return the rungs that keep the floor and that none beats, from the best down, each well worth its step."""
    best = frontier([rung for rung in rungs if rung.quality >= options.floor])
    kept: list[Rung] = []
    for rung in best:
        if not kept or rung.milliseconds <= WORTH_IT * kept[-1].milliseconds:
            kept.append(rung)
    while len(kept) > max(options.most, 2):  # of the others, the one that is nearest in time to the one below
        ratios = [kept[place].milliseconds / kept[place + 1].milliseconds for place in range(1, len(kept) - 1)]
        del kept[1 + int(np.argmin(ratios))]
    return kept[: options.most]


def _rung(name: str, settings: dict[str, Setting], weighed: Weighed | None = None) -> Rung:
    weighed = weighed or Weighed(1.0, 1.0)
    return Rung(name=name, quality=weighed.quality, milliseconds=weighed.milliseconds, bytes=0, settings=settings)


def _measured(step: Rung, worth: Worth, cost: Cost, fitted: Cost, ladders: Mapping[str, Ladder]) -> Rung:
    used = [
        rung.bytes
        for stage, setting in step.settings.items()
        for rung in (ladders[stage].rungs if stage in ladders else ())
        if rung.name == setting.rung
    ]
    return replace(
        step,
        quality=worth.quality,
        quality_low=worth.low,
        quality_high=worth.high,
        kept=worth.quality,
        milliseconds=cost.milliseconds(fitted),
        slow_milliseconds=max(timing.p99 for timing in cost.kinds.values()) * 1000,
        speedup=fitted.milliseconds(fitted) / cost.milliseconds(fitted),
        bytes=sum(used),
        network_milliseconds=cost.in_networks(fitted),
        qualities=dict(worth.kinds),
        times=cost.times(fitted),
    )


def _protocol(questions: Mapping[Any, Questions], options: Steps, threads: int) -> dict[str, Any]:
    return {
        "what": "pipeline",
        "quality": f"nDCG@{K} of the slates as a share of the artifact's own, of the kind of query that loses most",
        **{f"questions by {kind}": found.whence for kind, found in questions.items()},
        "choices": "made on one half of the questions; what is told is of the other half",
        "intervals": "bootstrap of the paired loss, 95 %",
        "milliseconds": "of one query, mean over kinds: the artifact's own median times the median ratio to it, all "
        "steps in turns, the same query in a turn",
        "threads of a rung": threads,
        "seed": options.seed,
        "budget, minutes": options.minutes,
    }
