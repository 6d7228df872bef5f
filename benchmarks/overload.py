"""Overload: a real server with a steered ladder, beside servers of one rung each, on the same open-loop traces.

The catalogue is ml-latest-small, searched by meaning with all-MiniLM-L6-v2 (`recipes/overload.toml`); what is searched
for are sentences of plots, each once before any comes again, so that every text must be encoded. The ladder is made
by `twofold.flows.compress` from the same model, with two bodies beside the teacher's and onnxruntime alone, so that it
takes minutes. The quality of a rung is how well it keeps the teacher's own ranking of the catalogue for such sentences
(nDCG@10), where items have the teacher's vectors, as in the server. Servers are processes of their own, all up at once
and asked in turns, so that other work on the machine hits all alike; the sender shares their cores.

`TWOFOLD_OVERLOAD_FOLDER` keeps the artifact and the ladder, and takes them where they are there;
`TWOFOLD_OVERLOAD_MINUTES` is the budget of the ladder, `TWOFOLD_OVERLOAD_SECONDS` the length of a trace,
`TWOFOLD_OVERLOAD_FLOOR` the share of quality that the steered server keeps, `TWOFOLD_OVERLOAD_RUNGS` how many rungs,
the best included, are used, `TWOFOLD_OVERLOAD_ROUNDS` how often each trace is drawn and sent.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from benchmarks.server import part_of, serving
from twofold.compress.runtime import open_runtime
from twofold.core import Ladder, Pipeline, Recipe
from twofold.core.errors import ConfigError
from twofold.core.ladder import Rung
from twofold.data import read_data
from twofold.data.texts import item_texts
from twofold.encoders.text.runtime import OnnxEncoder
from twofold.encoders.text.weights import find_model
from twofold.flows.compress import Compress, Judged, TextData, TextSubject, compress
from twofold.serve.control import Controller, Demand, Steering, Step
from twofold.serve.load import DEADLINES, Asking, Catalogue, Report, Trace, run_load

__all__ = ["run", "sentences", "thinned"]

MINUTES, SECONDS, FLOOR, RUNGS, SEED = 5.0, 40.0, 0.8, 4, 0
ROUNDS = range(int(os.environ.get("TWOFOLD_OVERLOAD_ROUNDS", "3")))
NEAR = 0.005
BODIES = ("static", "3 layers")
CASES, DOCUMENTS = 150, 500
BURST, CALM = 30.0, 10.0
"""Seconds of the burst, and of quiet before and after it."""
SATURATED, GENEROUS = 8.0, 1_000.0
"""Seconds in which a server is asked more than it can answer, and the milliseconds that it may take."""
FIRST, FASTER, MOST = 200.0, 1.6, 1_500.0
"""Questions a second that a server is asked first, by how much more the next time, and the most that can be sent."""
STEERED = "steered"
SENTENCE = re.compile(r"(?<=[.!?])\s+")
RECIPE = Path(__file__).parent / "recipes" / "overload.toml"

Say = Callable[[str], None]
Row = dict[str, Any]


def run(data: Path, say: Say) -> dict[str, Any]:
    """Make the artifact and the ladder, start the servers, send the traces, and return all figures."""
    seconds = float(os.environ.get("TWOFOLD_OVERLOAD_SECONDS", SECONDS))
    floor = float(os.environ.get("TWOFOLD_OVERLOAD_FLOOR", FLOOR))
    texts = sentences(data / "movie-overviews" / "ml-latest-small_overviews.csv")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twofold-")))
        kept = Path(os.environ.get("TWOFOLD_OVERLOAD_FOLDER", scratch / "kept"))
        artifact, ladder = _artifact(data, kept, say), _ladder(data, kept, texts, say)
        rungs = thinned(
            _as_served(ladder, artifact, kept / "ladder", texts, say),
            int(os.environ.get("TWOFOLD_OVERLOAD_RUNGS", RUNGS)),
        )
        folders = {
            rung.name: part_of(kept / "ladder", [rung], scratch / f"rung-{place}") for place, rung in enumerate(rungs)
        }
        folders[STEERED] = part_of(kept / "ladder", rungs, scratch / "steered")
        rows = [*_speeds(rungs, kept / "ladder", texts, say), *_choosing(rungs, floor)]
        servers = {}
        # No slates are kept: it is the vectors of texts that repeat whose hits are counted.
        alike = ("--quality-floor", str(floor), "--slates-mb", "0")
        for place, (name, folder) in enumerate(folders.items()):
            options = ("--ladder", folder, "--events", scratch / f"{place}.db", *alike)
            servers[name] = stack.enter_context(serving(artifact, *options, log=scratch / f"{place}.log")).url
        field = _Field(servers, {rung.name: rung.quality / rungs[0].quality for rung in rungs}, Catalogue(texts), say)
        capacity, found = _capacities(field, rungs)
        rows += found
        for name, trace in _traces(capacity, seconds).items():
            rows += _compared(field, name, trace)
        rows += [*_mixed(field, capacity, seconds), *_cached(field, artifact, capacity, seconds)]
    card = {
        "asked": f"{len(texts)} sentences of plots, each once before any comes again; k = 10, interactive",
        "deadline": "100 ms from when a question was due, at the sender",
        "top rung's capacity": "answers a second where more is asked than it can answer, deadline 1 s",
        "traces": {name: repr(trace) for name, trace in _traces(capacity, seconds).items()},
        "ladder": {rung.name: _about(rung, rungs[0]) for rung in rungs},
        "quality": f"nDCG@10 of the teacher's ranking of all items for {CASES} sentences; items encoded by the teacher",
        "floor": floor,
        "quiet time": f"{Steering().quiet:g} s",
        "servers": "one process each, one worker, all up at once and asked in turns; the sender on the same cores",
        "rounds": f"{len(ROUNDS)}, all servers in turn, each with another trace of the kind; medians, and the extremes",
        "seeds": [SEED + number for number in ROUNDS],
    }
    return {"protocol": card, "rows": [row for row in rows if row["value"] is not None]}  # what did not happen


def sentences(path: Path) -> list[str]:
    """Return the sentences of plots that are long enough to say something, in a fixed random order."""
    plots = pl.read_csv(path)["overview"].drop_nulls()
    parts = (part.strip() for plot in plots for part in SENTENCE.split(plot))
    found = [part for part in dict.fromkeys(parts) if 40 <= len(part) <= 200]
    return [found[place] for place in np.random.default_rng(SEED).permutation(len(found))]


def _artifact(data: Path, kept: Path, say: Say) -> Path:
    path = kept / "artifact"
    if not path.exists():
        say("fitting the artifact")
        Pipeline(Recipe.read(RECIPE)).fit(read_data(data / "ml-latest-small"), rng=SEED).save(path)
    return path


def _ladder(data: Path, kept: Path, texts: Sequence[str], say: Say) -> Ladder:
    folder, minutes = kept / "ladder", float(os.environ.get("TWOFOLD_OVERLOAD_MINUTES", MINUTES))
    if not (folder / "ladder.json").is_file():
        say(f"making the ladder, {minutes:g} minutes")
        items = [text for text in item_texts(read_data(data / "ml-latest-small").items) if text.strip()]
        shown = [items[place] for place in np.random.default_rng(SEED).permutation(len(items))]
        parts: dict[Any, Judged] = {
            "choose": Judged(queries=tuple(texts[:CASES]), gains=(), documents=tuple(shown[:DOCUMENTS])),
            "report": Judged(
                queries=tuple(texts[CASES : 2 * CASES]), gains=(), documents=tuple(shown[DOCUMENTS : 2 * DOCUMENTS])
            ),
        }
        mixed = [text for pair in zip(texts[2 * CASES :], shown, strict=False) for text in pair]
        subject = TextSubject(
            find_model("minilm"), TextData(texts=tuple(dict.fromkeys(mixed)), parts=parts, judged=False), name="minilm"
        )
        options = Compress(floor=0.4, minutes=minutes, seed=SEED, bodies=BODIES, runtimes=("onnxruntime",))
        compress(subject, folder, options)
    return Ladder.read(folder)


def _as_served(ladder: Ladder, artifact: Path, folder: Path, texts: Sequence[str], say: Say) -> list[Rung]:
    """Return the rungs that search among the items' vectors, which are the teacher's, each with its quality there."""
    encoder: Any = Pipeline.load(artifact).encoders["text"]
    items = np.asarray(encoder.vectors)
    likeness = encoder.runner.encode(texts[:CASES]) @ items.T
    middle = np.median(likeness, axis=1, keepdims=True)
    gains = np.clip((likeness - middle) / (likeness.max(axis=1, keepdims=True) - middle), 0, 1)
    discount = 1 / np.log2(np.arange(2, 12))
    best = (-np.sort(-gains, axis=1)[:, :10] @ discount).astype(np.float64)
    found = []
    for rung in ladder.rungs:
        network = open_runtime(folder / rung.folder, rung.runtime, output="sentence_embedding", threads=1)
        queries = OnnxEncoder(folder / rung.folder, network=network).encode(texts[:CASES])
        if queries.shape[1] != items.shape[1]:
            say(f"{rung.name}: its vectors have {queries.shape[1]} numbers, the items' {items.shape[1]}; left out")
            continue
        order = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :10]
        quality = float((np.take_along_axis(gains, order, axis=1) @ discount / best).mean())
        say(f"{rung.name}: quality {quality:.4f} among the teacher's vectors, {rung.quality:.4f} among its own")
        found.append(replace(rung, quality=quality))
    return found


def thinned(rungs: Sequence[Rung], most: int) -> list[Rung]:
    """Return at most so many rungs: the best, the fastest, and of the others those that differ most in time.

    Below the best, one that a faster one nearly equals in quality is left out first.
    """
    rungs = [
        rung
        for place, rung in enumerate(rungs)
        if not place or all(rung.quality > faster.quality + NEAR for faster in rungs[place + 1 :])
    ]
    while len(rungs) > max(most, 2):
        ratios = [rungs[place].milliseconds / rungs[place + 1].milliseconds for place in range(len(rungs) - 1)]
        inner = range(1, len(rungs) - 1)
        del rungs[min(inner, key=lambda place: min(ratios[place - 1], ratios[place]))]
    return rungs


@dataclass(frozen=True, slots=True)
class _Field:
    """Servers that are asked in turns."""

    servers: Mapping[str, str]
    qualities: Mapping[str, float]
    catalogue: Catalogue
    say: Say

    def ask(self, name: str, trace: Trace, asking: Asking | None = None, seed: int = SEED) -> Report:
        report = run_load(self.servers[name], trace, self.catalogue, asking or Asking(zipf=0.0), seed=seed)
        report = replace(report, qualities=self.qualities)  # a server of one rung knows no better one
        told = report.groups()["all"]
        shares = (told.in_time, told.refused, told.quality, told.effective)
        in_time, refused, quality, effective = (f"{share or 0:.3f}" for share in shares)
        self.say(
            f"{name}, {trace.shape}: {told.sent} sent, {in_time} in time, {refused} refused, quality {quality}, "
            f"effective {effective}, p99 {told.p99 or 0:.0f} ms"
        )
        for warning in report.warnings():
            self.say(f"  {warning}")
        return report


def _speeds(rungs: Sequence[Rung], folder: Path, texts: Sequence[str], say: Say) -> list[Row]:
    """Texts a second of each rung, alone and 16 together, by one thread."""
    rows = []
    for rung in rungs:
        network = open_runtime(folder / rung.folder, rung.runtime, output="sentence_embedding", threads=1)
        encoder = OnnxEncoder(folder / rung.folder, network=network)
        encoder.encode(texts[:16])
        for together in (1, 16):
            spent = []
            for start in range(0, 10 * together, together):
                begun = time.perf_counter()
                encoder.encode(texts[start : start + together])
                spent.append(time.perf_counter() - begun)
            rows.append(_row(rung.name, f"texts a second, {together} together", together / median(spent)))
        say(f"{rung.name}: {rows[-2]['value']:.0f} texts a second alone, {rows[-1]['value']:.0f} together")
    return rows


def _choosing(rungs: Sequence[Rung], floor: float) -> list[Row]:
    """Milliseconds of a choice of the rung, with steps down and up among them."""
    steps = [
        Step(name=rung.name, quality=rung.quality / rungs[0].quality, seconds=rung.milliseconds / 1000)
        for rung in rungs
    ]
    controller, spent = Controller(steps, Steering(floor=floor)), []
    for number in range(1_000):
        begun = time.perf_counter()
        controller.choose(float(number), [Demand(1_000 if number % 2 else 1, 0.1)] * 4)
        spent.append((time.perf_counter() - begun) * 1000)
    return [_row(STEERED, f"a step, {name} ms", float(np.percentile(spent, level))) for name, level in LEVELS.items()]


LEVELS = {"median": 50, "p99": 99}


def _capacities(field: _Field, rungs: Sequence[Rung]) -> tuple[float, list[Row]]:
    """The most answers a second of each server, asked more and more until it cannot answer, or the sender not send."""
    rows: list[Row] = []
    asking = Asking(zipf=0.0, deadlines={**DEADLINES, "interactive": GENEROUS})
    for name in [*(rung.name for rung in rungs), STEERED]:
        field.ask(name, Trace(rate=20, seconds=3), asking, seed=SEED + 1)  # costs are learned
        asked, found = FIRST, list[float]()
        while not found or (asked < MOST and found[-1] > 0.85 * asked / FASTER):
            found.append(field.ask(name, Trace(rate=asked, seconds=SATURATED), asking).groups()["all"].goodput)
            asked *= FASTER
        rows.append(_row(name, "capacity, answers a second", max(found)))
    if not rows[0]["value"]:
        raise ConfigError("the top rung answered nothing within a second; other work on this machine leaves no room.")
    return float(rows[0]["value"]), rows


def _traces(capacity: float, seconds: float) -> dict[str, Trace]:
    clumps = Trace(
        shape="burst", rate=capacity / 2, peak=3 * capacity, seconds=seconds, burst_seconds=seconds / 2, cv=4
    )
    day = Trace(shape="diurnal", rate=capacity / 5, peak=3 * capacity, seconds=seconds)
    burst = Trace(shape="burst", rate=capacity / 2, peak=5 * capacity, seconds=BURST + 2 * CALM, burst_seconds=BURST)
    return {"clumps, 3 x": clumps, "day, 3 x": day, "burst, 5 x": burst}


def _compared(field: _Field, name: str, trace: Trace) -> Iterator[Row]:
    """Send a trace to all servers in turn, in each round another one of its kind."""
    rounds = [{server: field.ask(server, trace, seed=SEED + number) for server in field.servers} for number in ROUNDS]
    for server in field.servers:
        found = [_told(reports[server]) for reports in rounds]
        for metric in dict.fromkeys(metric for figures in found for metric in figures):
            yield _spread(server, f"{name}: {metric}", [figures.get(metric) for figures in found])
    if trace.shape == "burst":
        back = [_recovery(reports[STEERED], trace, field) for reports in rounds]
        yield _spread(STEERED, f"{name}: seconds until the top rung is back", back)
    top = next(iter(field.servers))
    pairs = [[reports[server].groups()["all"] for server in (STEERED, top)] for reports in rounds]
    goodput = [steered.goodput / max(fixed.goodput, 1e-9) for steered, fixed in pairs]
    yield _spread(STEERED, f"{name}: times the goodput of the top rung", goodput)
    missed = [[told.sent * (1 - (told.in_time or 0)) for told in pair] for pair in pairs]
    fewer = [fixed / max(steered, 1.0) for steered, fixed in missed]
    yield _spread(STEERED, f"{name}: times as few violations as the top rung", fewer)


def _told(report: Report) -> dict[str, float | None]:
    """Return the figures of one trace."""
    groups = report.groups()
    told = groups["all"]
    figures = {
        "sent": told.sent,
        "in time": told.in_time,
        "in time of those admitted": told.of_admitted,
        "refused": told.refused,
        "late": told.late,
        "quality": told.quality,
        "effective quality": told.effective,
        "answers in time a second": told.goodput,
        "the same at the height": max(part.goodput for part in groups.values()),
        "p50 ms": told.p50,
        "p99 ms": told.p99,
        "p99.9 ms": told.p999,
        "sender late, p99 ms": float(np.percentile(report.lateness, 99)) * 1000,
        "sender, ms of a core a question": report.processor,
    }
    return figures | {f"answers of {rung}": share for rung, share in told.rungs.items()}


def _spread(system: str, metric: str, values: Sequence[float | None]) -> Row:
    """Return a row of the median of rounds, and the extremes; what did not happen in one counts in none."""
    known = [value for value in values if value is not None]
    if not known:
        return _row(system, metric, None)
    return {"system": system, "metric": metric, "value": median(known), "low": min(known), "high": max(known)}


def _recovery(report: Report, trace: Trace, field: _Field) -> float | None:
    """Return how long after the burst the first question came that the top rung answered."""
    end, top = trace.phases()[1].end, next(iter(field.qualities))
    later = [
        due - end
        for due, rung in zip(report.answers.due.tolist(), report.answers.rungs, strict=True)
        if due >= end and rung == top
    ]
    return min(later, default=None)


def _mixed(field: _Field, capacity: float, seconds: float) -> Iterator[Row]:
    """All priorities at once, more than can be answered: who is answered in time, and who is refused."""
    asking = Asking(zipf=0.0, priorities={"interactive": 0.4, "standard": 0.3, "batch": 0.3})
    trace = Trace(rate=2 * capacity, seconds=seconds / 2, cv=4)
    report = field.ask(STEERED, trace, asking)
    for name, told in report.groups().items():
        if name != "all":
            for metric, value in {"in time": told.in_time, "refused": told.refused, "p99 ms": told.p99}.items():
                yield _row(STEERED, f"priorities, 2 x: {name}, {metric}", value)


def _cached(field: _Field, artifact: Path, capacity: float, seconds: float) -> Iterator[Row]:
    """Titles that repeat as by Zipf's law, each law on a server that kept none of them yet: how many were kept."""
    titles = Catalogue.read(artifact)
    for server, zipf in zip(reversed(list(field.servers)), (0.8, 1.0, 1.2), strict=False):
        trace = Trace(rate=capacity, seconds=seconds)
        report = run_load(field.servers[server], trace, titles, Asking(zipf=zipf), seed=SEED)
        kept = report.hit_rates.get("vectors")
        field.say(f"Zipf {zipf}: {kept or 0:.1%} of {len(report.questions)} texts were kept")
        yield _row("cache", f"Zipf {zipf}, {len(titles.texts)} titles: vectors kept", kept)
        yield _row("cache", f"Zipf {zipf}, {len(titles.texts)} titles: questions", len(report.questions))


def _about(rung: Rung, top: Rung) -> dict[str, Any]:
    return {
        "quality": rung.quality / top.quality,
        "milliseconds": rung.milliseconds,
        "runtime": rung.runtime,
        "steps": list(rung.steps),
    }


def _row(system: str, metric: str, value: float | None) -> Row:
    return {"system": system, "metric": metric, "value": value, "low": None, "high": None}
