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
from torch import nn

from twofold.compress.distil import (
    Distil,
    Lesson,
    Reader,
    Static,
    Texts,
    alignment,
    check_collapse,
    distil,
    fit_table,
    neighbour_overlap,
    open_graph,
    outputs,
    outputs_of,
    put_aside,
    save_static,
    static_student,
)
from twofold.compress.distil.examples import Index
from twofold.compress.distil.students import TextVectors, without_dropout
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
from twofold.compress.prune.vocabulary import used_tokens
from twofold.compress.runtime import Feed
from twofold.core.errors import ConfigError, DataError
from twofold.core.scores import Floats
from twofold.flows.compress.rung import FUSED
from twofold.flows.compress.subject import Body, Making
from twofold.train.options import Training

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense

    from twofold.flows.compress.text import TextSubject

__all__ = ["text_bodies"]

LESSON_TOKENS = 64
"""Where texts are cut that a student learns from: most of a vector is in the beginning, and time is short."""
LESSONS = 20_000
"""Texts that a student learns from, at most, and parts of long ones."""
FEWEST = 512
"""And at least."""
ASKING = 0.3
"""Share of the time that asking the teacher may take."""
PROBES = 64
"""Texts by which the importance of parts is found, and the teacher's pace."""
LR = 3e-4
"""Of healing: with so few steps, a large one does best."""
ALIGNED = 4_096
"""Texts by which the last matrix of a student is set."""

Change = Callable[["SentenceTransformer", list[Feed]], None]


def text_bodies(subject: "TextSubject") -> list[Body]:
    """Return what is tried: first what changes least for the time it takes."""
    layers = len(find_body(subject.model).stack)
    half = max(layers // 2, 1)
    wanted = [
        Body(
            name="static",
            make=_static(subject),
            steps=("static student", "fitted to the teacher", "unused tokens dropped"),
            whole=True,
        ),
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
        student, options = TextVectors(model), Distil(training=_training(max(making.seconds - spent, 10) / 60))
        without_dropout(model)
        _table(model).requires_grad = False
        closing, learned = _closed(model), put_aside(len(vectors), options.held_out, making.seed)[1]
        shown = np.random.default_rng(making.seed).permutation(learned)[:ALIGNED]
        _align(student, closing, texts, vectors, shown)
        found = distil(
            student,
            Lesson(examples=texts, vectors=vectors),
            options,
            seed=making.seed,
            checkpoint=making.scratch / "training",
            progress=making.progress,
        )
        _align(student, closing, texts, vectors, shown)
        notes = _drop_tokens(subject, model)
        subject.save(model, making.folder)
        return [*notes, _told(found)]

    return Body(name=name, make=make, steps=(name, "aligned", "healed", "unused tokens dropped"), trained=True)


def _table(model: "SentenceTransformer") -> torch.Tensor:
    """Return the token table, which a student keeps: it is most of the numbers, and knows most of what it can."""
    transformer: Any = model[0]
    table: torch.Tensor = transformer.auto_model.get_input_embeddings().weight
    return table


def _closed(model: "SentenceTransformer") -> "Dense":
    """Put a matrix behind a model's pooling that changes nothing yet, and return it."""
    from sentence_transformers.base.modules import Dense  # noqa: PLC0415  for these models only
    from sentence_transformers.sentence_transformer.modules import Normalize  # noqa: PLC0415

    width = int(model.get_embedding_dimension() or 0)
    closing = Dense(width, width, bias=False, activation_function=nn.Identity(), init_weight=torch.eye(width))
    modules = list(model)
    place = len(modules) - isinstance(modules[-1], Normalize)
    model.insert(place, closing)
    return closing


def _align(student: TextVectors, closing: "Dense", texts: Texts, vectors: Floats, rows: Index) -> None:
    """Change the last matrix of a student so that its vectors of some texts come nearest to the teacher's."""
    found = alignment(outputs(student.eval(), texts, rows), np.asarray(vectors[rows]))
    with torch.no_grad():
        weight: Any = closing.linear.weight
        weight.copy_(torch.from_numpy(found).T @ weight)


def _static(subject: "TextSubject") -> Callable[[Making], Sequence[str]]:
    def make(making: Making) -> Sequence[str]:
        texts, vectors, _ = _lesson(subject, making)
        reader = Reader.open(making.source)
        network = open_graph(making.source / FUSED, output=subject.output)
        options = Static(dimensions=min(256, vectors.shape[1]))
        student = static_student(
            network, reader, texts, vectors, options, folder=making.scratch, progress=making.progress
        )
        held, learned = put_aside(len(vectors), Distil().held_out, making.seed)
        said = np.asarray(vectors[held])
        before = neighbour_overlap(outputs(student, texts, held), said)
        fit_table(student, texts.take(learned), np.asarray(vectors[learned]), options)
        found = outputs(student, texts, held)
        check_collapse(found, said)
        notes = [f"fitted to {len(learned):,} texts{_shared(before, neighbour_overlap(found, said))}."]
        table = student.spread()
        try:
            smaller, kept = used_tokens(reader.spelled(), subject.data.texts, also=reader.specials.tolist())
            table, reader = table[kept], Reader(smaller)
            notes.append(_kept(len(student.table), len(kept)))
        except (ConfigError, DataError) as error:
            notes.append(f"its tokens were kept: {error}")
        save_static(table, reader, making.folder)
        return notes

    return make


def _training(minutes: float) -> Training:
    return Training(minutes=minutes, lr=LR, evaluate_first=True, evaluate_every=50, patience=0, epochs=60)


def _told(found: Any) -> str:
    training = found.training
    measured = "" if found.agreement is None else _shared(found.before, found.agreement)
    return f"distilled for {training.steps} steps in {training.seconds:.0f} s{measured}."


def _shared(before: float, after: float) -> str:
    return f"; neighbours shared with the teacher {before:.2f} before, {after:.2f} after"


def _lesson(subject: "TextSubject", making: Making) -> tuple[Texts, Any, float]:
    """Return texts with the teacher's vectors, kept for all students of a run, and what asking took, in seconds."""
    begun = time.monotonic()
    reader = Reader.open(making.source, max_tokens=LESSON_TOKENS)
    network = open_graph(making.source / FUSED, output=subject.output)
    pieces = _pieces(subject.data.texts)
    shared = making.source.parent.parent / "scratch" / "lesson"
    noted = shared / "texts"
    if noted.is_file():
        count = int(noted.read_text(encoding="utf-8"))
    else:
        outputs_of(network, Texts.read(pieces[:PROBES], reader))
        pace = PROBES / max(time.monotonic() - begun, 1e-3)
        count = int(min(LESSONS, len(pieces), max(FEWEST, pace * making.seconds * ASKING)))
        shared.mkdir(parents=True, exist_ok=True)
        noted.write_text(str(count), encoding="utf-8")
    texts = Texts.read(pieces[:count], reader)
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


def _drop_tokens(subject: "TextSubject", model: "SentenceTransformer") -> list[str]:
    before = len(model.tokenizer)
    try:
        smaller = drop_tokens(model, model.tokenizer, subject.data.texts)
    except (ConfigError, DataError) as error:
        return [f"its tokens were kept: {error}"]
    transformer: Any = model[0]
    transformer.processor = smaller  # which is what `model.tokenizer` gives
    _settle(model)
    return [_kept(before, len(model.tokenizer))]


def _kept(before: int, kept: int) -> str:
    return f"of {before:,} tokens, {kept:,} were kept: those of the catalogue, and single letters."


def _settle(model: "SentenceTransformer") -> None:
    """Say to a new tokenizer where texts are cut and how they are padded."""
    backend, tokenizer = model.tokenizer.backend_tokenizer, model.tokenizer
    backend.enable_truncation(model.max_seq_length)
    backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)


def _drop_layers(model: "SentenceTransformer", feeds: list[Feed], count: int) -> None:
    if count:
        drop_layers(model, choose_layers(model, TextVectors(model).read, feeds, count))


def _drop_parts(model: "SentenceTransformer", feeds: list[Feed], *, neurons: float = 0.0, heads: float = 0.0) -> None:
    matter = importance(model, TextVectors(model).read, feeds)
    if neurons:
        drop_neurons(model, weakest(matter.neurons, neurons, multiple=32))
    if heads:
        drop_heads(model, weakest(matter.heads, heads))


def _drop_both(model: "SentenceTransformer", feeds: list[Feed], count: int) -> None:
    _drop_layers(model, feeds, count)
    _drop_parts(model, feeds, neurons=0.5)
