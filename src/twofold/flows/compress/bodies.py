"""Bodies of text encoders: unused tokens, layers, neurons and heads dropped and healed; narrower and static students.

Needs torch.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from twofold.compress.distil import (
    Distil,
    Lesson,
    Reader,
    Static,
    Texts,
    distil,
    open_graph,
    outputs_of,
    save_static,
    static_student,
)
from twofold.compress.distil.students import TextVectors
from twofold.compress.prune import (
    choose_layers,
    drop_heads,
    drop_layers,
    drop_neurons,
    drop_tokens,
    importance,
    weakest,
)
from twofold.compress.prune.families import find_body
from twofold.compress.runtime import GRAPH, Feed
from twofold.core.errors import ConfigError, DataError
from twofold.flows.compress.subject import Body, Making
from twofold.train.options import Training

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from twofold.flows.compress.text import TextSubject

__all__ = ["text_bodies"]

LESSON_TOKENS = 64
"""Where texts are cut that a student learns from: most of a vector is in the beginning, and time is short."""
LESSONS = 20_000
"""Texts that a student learns from, at most, and parts of long ones."""
ASKING = 0.3
"""Share of the time that asking the teacher may take."""
PROBES = 64

Change = Callable[["SentenceTransformer", list[Feed]], None]


def text_bodies(subject: "TextSubject") -> list[Body]:
    """Return what is tried: first what changes least for the time it takes."""
    layers = len(find_body(subject.model).stack)
    half = max(layers // 2, 1)
    wanted = [
        Body(name="static", make=_static(subject), steps=("static student", "distilled"), trained=True, whole=True),
        Body(name="tokens", make=_untrained(subject), steps=("unused tokens dropped",)),
    ]
    wanted += [
        _student(subject, _layers(kept), partial(_drop_layers, count=layers - kept))
        for kept in dict.fromkeys((half, max(layers // 3, 1)))
        if kept < layers
    ]
    wanted += [
        _student(subject, "half the neurons", partial(_drop_parts, neurons=0.5)),
        _student(subject, f"{_layers(half)}, half the neurons", partial(_drop_both, count=layers - half)),
        _student(subject, "a third of heads and neurons less", partial(_drop_parts, neurons=1 / 3, heads=1 / 3)),
    ]
    return wanted


def _layers(count: int) -> str:
    return f"{count} {'layer' if count == 1 else 'layers'}"


def _untrained(subject: "TextSubject") -> Callable[[Making], Sequence[str]]:
    def make(making: Making) -> Sequence[str]:
        model = subject.copy()
        notes = _drop_tokens(subject, model)
        subject.save(model, making.folder)
        return notes

    return make


def _student(subject: "TextSubject", name: str, change: Change) -> Body:
    """Return a body whose tokens are cut, whose parts are dropped, and that is healed by distilling."""

    def make(making: Making) -> Sequence[str]:
        model = subject.copy()
        _, feeds = _probes(subject, making)
        change(model, feeds)
        texts, vectors, spent = _lesson(subject, making)
        student = TextVectors(model)
        minutes = max(making.seconds - spent, 10) / 60
        options = Distil(training=_training(minutes), part=0)
        found = distil(
            student,
            Lesson(examples=texts, vectors=vectors),
            options,
            seed=making.seed,
            checkpoint=making.scratch / "training",
            progress=making.progress,
        )
        notes = _drop_tokens(subject, model)
        subject.save(model, making.folder)
        return [*notes, _told(found)]

    return Body(name=name, make=make, steps=(name, "healed", "unused tokens dropped"), trained=True)


def _static(subject: "TextSubject") -> Callable[[Making], Sequence[str]]:
    def make(making: Making) -> Sequence[str]:
        texts, vectors, spent = _lesson(subject, making)
        reader = Reader.open(making.source)
        network = open_graph(making.source / GRAPH, output=subject.output)
        width = min(256, vectors.shape[1])
        student = static_student(
            network, reader, texts, vectors, Static(dimensions=width), folder=making.scratch, progress=making.progress
        )
        minutes = min(max(making.seconds - spent, 10), 240) / 60
        found = distil(
            student,
            Lesson(examples=texts, vectors=vectors, basis=student.basis),
            Distil(training=_training(minutes, lr=1e-2), batch_size=128),
            seed=making.seed,
            checkpoint=making.scratch / "training",
            progress=making.progress,
        )
        save_static(student.spread(), reader, making.folder)
        return [_told(found)]

    return make


def _training(minutes: float, lr: float = 2e-4) -> Training:
    return Training(minutes=minutes, lr=lr, evaluate_first=True, evaluate_every=50, patience=0, epochs=20)


def _told(found: Any) -> str:
    training = found.training
    measured = "" if found.agreement is None else f"; neighbours shared with the teacher {found.before:.2f} before, "
    after = "" if found.agreement is None else f"{found.agreement:.2f} after"
    return f"distilled for {training.steps} steps in {training.seconds:.0f} s{measured}{after}."


def _lesson(subject: "TextSubject", making: Making) -> tuple[Texts, Any, float]:
    """Return texts with the teacher's vectors, kept for all students of a run, and what asking took, in seconds."""
    begun = time.monotonic()
    reader = Reader.open(making.source, max_tokens=LESSON_TOKENS)
    network = open_graph(making.source / GRAPH, output=subject.output)
    pieces = _pieces(subject.data.texts)
    trial = Texts.read(pieces[:64], reader)
    outputs_of(network, trial)
    pace = 64 / max(time.monotonic() - begun, 1e-3)
    count = int(min(LESSONS, len(pieces), max(512, pace * making.seconds * ASKING)))
    # A number that is the same when a killed run goes on at another pace.
    count = min(1 << max(count.bit_length() - 1, 9), len(pieces))
    texts = Texts.read(pieces[:count], reader)
    shared = making.source.parent.parent / "scratch" / "lesson"
    vectors = outputs_of(network, texts, folder=shared, progress=making.progress)
    return texts, np.asarray(vectors), time.monotonic() - begun


def _pieces(texts: Sequence[str]) -> list[str]:
    """Return texts, and sentences of long ones, which are like what people search with."""
    found = dict.fromkeys(text for text in texts if text.strip())
    for text in texts:
        for sentence in text.split(". ")[:6] if len(text) > 200 else ():
            if len(sentence) > 20:
                found.setdefault(sentence)
    order = np.random.default_rng(0).permutation(len(found))
    listed = list(found)
    return [listed[place] for place in order]


def _probes(subject: "TextSubject", making: Making) -> tuple[Path, list[Feed]]:
    """Return some typical feeds by which the importance of parts is found."""
    reader = Reader.open(making.source, max_tokens=LESSON_TOKENS)
    texts = Texts.read(list(subject.data.texts)[:PROBES], reader)
    rows = np.arange(len(texts.lengths))
    return making.source, [texts.feed(rows[start : start + 16]) for start in range(0, len(rows), 16)]


def _run(model: "SentenceTransformer") -> Callable[[Feed], torch.Tensor]:
    vectors = TextVectors(model)

    def run(feed: Feed) -> torch.Tensor:
        found: torch.Tensor = vectors(**{name: torch.from_numpy(value) for name, value in feed.items()})
        return found

    return run


def _drop_tokens(subject: "TextSubject", model: "SentenceTransformer") -> list[str]:
    before = len(model.tokenizer)
    try:
        smaller = drop_tokens(model, model.tokenizer, subject.data.texts)
    except (ConfigError, DataError) as error:
        return [f"its tokens were kept: {error}"]
    transformer: Any = model[0]
    transformer.processor = smaller  # which is what `model.tokenizer` gives
    _settle(model)
    return [f"of {before:,} tokens, {len(model.tokenizer):,} were kept: those of the catalogue, and single letters."]


def _settle(model: "SentenceTransformer") -> None:
    """Say to a new tokenizer where texts are cut and how they are padded."""
    backend, tokenizer = model.tokenizer.backend_tokenizer, model.tokenizer
    backend.enable_truncation(model.max_seq_length)
    backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)


def _drop_layers(model: "SentenceTransformer", feeds: list[Feed], count: int) -> None:
    if count:
        drop_layers(model, choose_layers(model, _run(model), feeds, count))


def _drop_parts(model: "SentenceTransformer", feeds: list[Feed], *, neurons: float = 0.0, heads: float = 0.0) -> None:
    matter = importance(model, _run(model), feeds)
    if neurons:
        drop_neurons(model, weakest(matter.neurons, neurons, multiple=32))
    if heads:
        drop_heads(model, weakest(matter.heads, heads))


def _drop_both(model: "SentenceTransformer", feeds: list[Feed], count: int) -> None:
    _drop_layers(model, feeds, count)
    _drop_parts(model, feeds, neurons=0.5)
