"""Figures of a ladder: a text encoder made small on SciFact and on ml-latest-small, beside sentence-transformers' own.

The teacher is all-MiniLM-L6-v2, fine-tuned first on the training claims that choose nothing. All choices are made on
the other training claims; quality is told on the test claims, among so many abstracts, the answers with them, as there
is time to encode again for each rung. On ml-latest-small there are no judgements, so that quality is how well the
teacher's own ranking is kept. Speed is measured in turns with the teacher in torch, float32.

`TWOFOLD_COMPRESS_MINUTES` sets the budget of a ladder, `TWOFOLD_COMPRESS_TEACHER` another teacher's folder,
`TWOFOLD_COMPRESS_CASES` how many claims and abstracts are used of each part.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scifact import TUNED
from twofold.core import Ladder, Rung
from twofold.data import read_data
from twofold.data.judgements import Judgements, dataset_of, read_scifact
from twofold.data.texts import item_texts
from twofold.encoders.text.finetune import FineTune
from twofold.encoders.text.weights import find_model
from twofold.flows.compress import Compress, Outcome, TextData, TextSubject, compress, text_data
from twofold.flows.compress.text import Judged, judged_among
from twofold.flows.finetune import finetune_encoder

__all__ = ["run", "scifact_data"]

MINUTES, SEED, CLAIMS, ABSTRACTS, REPORTED = 16.0, 0, 120, 200, 1_000
FLOOR = 0.5
"""Low, so that the table has every rung; which of them a floor leaves is to be read from it."""
FIGURES = ("kept", "speedup", "rate_gain", "milliseconds", "rate", "rate_two", "bytes", "memory", "p_value")

Progress = Callable[[str], None]


def run(data: Path, progress: Progress) -> dict[str, Any]:
    """Make both ladders and return their figures."""
    minutes = float(os.environ.get("TWOFOLD_COMPRESS_MINUTES", MINUTES))
    cases = int(os.environ.get("TWOFOLD_COMPRESS_CASES", "0"))
    with tempfile.TemporaryDirectory(prefix="twofold-") as made:
        given = os.environ.get("TWOFOLD_COMPRESS_TEACHER")
        folder = find_model(given) if given else _teacher(data / "scifact", Path(made), cases, progress)
        return _ladders(data, folder, minutes, cases, progress)


def _teacher(data: Path, folder: Path, cases: int, progress: Progress) -> Path:
    """Fine-tune MiniLM on the training claims that choose nothing; return its folder."""
    training = read_scifact(data, split="train")
    aside = scifact_data(data, cases).parts["choose"].queries
    learned = [name for name in training.qrels if training.queries[name] not in aside]
    judged = replace(
        training,
        queries={name: training.queries[name] for name in learned},
        qrels={name: training.qrels[name] for name in learned},
    )
    progress(f"fine-tuning on {len(learned)} claims: {TUNED}")
    finetune_encoder(dataset_of(training.documents, judged), folder, FineTune(**TUNED), rng=SEED)
    return folder


def _ladders(data: Path, folder: Path, minutes: float, cases: int, progress: Progress) -> dict[str, Any]:
    subjects = {
        "scifact": TextSubject(folder, scifact_data(data / "scifact", cases), name="on SciFact"),
        "ml-latest-small": TextSubject(
            folder,
            text_data(read_data(data / "ml-latest-small"), queries=cases or CLAIMS, documents=cases or 2_000),
            name="on ml-latest-small",
        ),
    }
    rows, card = [], dict[str, Any]()
    for name, subject in subjects.items():
        with tempfile.TemporaryDirectory(prefix="twofold-") as work:
            outcome = _ladder(subject, Path(work) / "ladder", minutes, name, progress)
            rows += list(_rows(name, outcome.ladder))
            for verdict in outcome.verdicts:
                rung = verdict.rung
                figures = [f"{value:.3g}" if value else "-" for value in (rung.kept, rung.speedup, rung.rate_gain)]
                progress(f"{name}: {rung.name}: {', '.join(figures)}, {rung.bytes:,} bytes {verdict.refused}")
            rows += [
                {"system": f"{name}: {verdict.rung.name}, left out", "metric": "kept", "value": verdict.rung.kept}
                for verdict in outcome.verdicts
                if verdict.refused and verdict.rung.kept is not None
            ]
            card[name] = {
                **outcome.ladder.protocol,
                "seconds": round(outcome.seconds),
                "left out": {v.rung.name: v.refused for v in outcome.verdicts if v.refused},
                "no time for": list(outcome.untried),
                "notes": {rung.name: list(rung.notes) for rung in outcome.ladder.rungs},
                "runtimes": {rung.name: rung.runtime for rung in outcome.ladder.rungs},
            }
    return {"protocol": card, "rows": rows}


def _ladder(subject: TextSubject, folder: Path, minutes: float, name: str, progress: Progress) -> Outcome:
    told: set[str] = set()

    def tell(what: str, _done: int, _of: int) -> None:
        step = what.partition(", ")[0]
        if step not in told:
            told.add(step)
            progress(f"{name}: {what}")

    return compress(subject, folder, Compress(floor=FLOOR, minutes=minutes, seed=SEED), progress=tell)


def _rows(name: str, ladder: Ladder) -> Iterator[dict[str, Any]]:
    rungs: list[Rung] = [*([ladder.teacher] if ladder.teacher else []), *ladder.rungs]
    for rung in rungs:
        system = f"{name}: {rung.name}"
        yield {
            "system": system,
            "metric": "quality",
            "value": rung.quality,
            "low": rung.quality_low,
            "high": rung.quality_high,
        }
        for figure in FIGURES:
            value = getattr(rung, figure)
            if value is not None:
                yield {"system": system, "metric": figure, "value": float(value)}
        if ladder.teacher is not None:
            yield {"system": system, "metric": "times as small", "value": ladder.teacher.bytes / rung.bytes}


def scifact_data(folder: Path, cases: int) -> TextData:
    """Return claims and abstracts: training claims to choose by, test claims among all abstracts to report."""
    training, test = read_scifact(folder, split="train"), read_scifact(folder)
    texts, rng = item_texts(test.documents), np.random.default_rng(SEED)
    places = np.arange(len(texts))
    choose = judged_among(texts, places, _gains(training, cases or CLAIMS), cases or ABSTRACTS, rng)
    report = judged_among(texts, places, _gains(test, cases or len(test.qrels)), cases or REPORTED, rng)
    claims = [text for text in training.queries.values() if text not in report.queries]
    shown = [texts[place] for place in rng.permutation(len(texts))]
    parts: dict[Any, Judged] = {"choose": choose, "report": report}
    about = {
        "cases": "training claims choose, test claims are told",
        "abstracts": f"{cases or ABSTRACTS} to choose, {cases or REPORTED} to tell, all answers among them",
        "seed": SEED,
    }
    return TextData(texts=tuple(dict.fromkeys([*shown, *claims])), parts=parts, judged=True, about=about)


def _gains(judged: Judgements, count: int) -> dict[str, dict[int, float]]:
    place = {item: row for row, item in enumerate(judged.documents["item"])}
    found: dict[str, dict[int, float]] = {}
    for name, answers in judged.qrels.items():
        gains = {place[item]: float(gain) for item, gain in answers.items() if gain > 0 and item in place}
        if gains:
            found.setdefault(judged.queries[name], {}).update(gains)
    names = list(found)
    if len(names) > count:
        names = [names[row] for row in np.sort(np.random.default_rng(SEED).permutation(len(names))[:count])]
    return {name: found[name] for name in names}
