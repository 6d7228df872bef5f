"""Distil: a small student learns from a big teacher, on the catalogue's own texts, without labels.

    reader = Reader.open(teacher_folder, max_tokens=128)
    teacher = open_graph(teacher_folder / "onnx" / "model.onnx")
    texts = Texts.read(texts_of(dataset), reader)
    vectors = outputs_of(teacher, texts, folder=work)            # once; a killed run goes on
    student = static_student(teacher, reader, texts, vectors, Static(), folder=work)
    fit_table(student, texts, vectors, Static())
    save_static(student.folded(), reader, rung_folder)           # served without torch
    distil(TextVectors(other), Lesson(examples=texts, vectors=vectors), Distil(), seed=0)  # any other student

The losses are in `twofold.compress.distil.losses`. torch is imported when something that needs it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from twofold.compress.distil.agreement import (
    alignment,
    check_collapse,
    likeness,
    mean_cosine,
    neighbour_overlap,
    principal,
)
from twofold.compress.distil.examples import Arrays, Examples, Feed, Reader, Texts, Triples, texts_of
from twofold.compress.distil.options import Distil, Static
from twofold.compress.distil.ranker import SmallRanker
from twofold.compress.distil.teacher import Network, open_graph, outputs_of, top_items

if TYPE_CHECKING:
    from twofold.compress.distil.distilling import Distilled, Lesson, VectorLoss, distil, put_aside, vector_task
    from twofold.compress.distil.ensemble import small_ranker
    from twofold.compress.distil.graph import save_static, table_graph
    from twofold.compress.distil.margins import margin_task
    from twofold.compress.distil.narrow import narrower, strongest
    from twofold.compress.distil.static import StaticStudent, fit_table, static_student
    from twofold.compress.distil.students import TextVectors, fewer_layers, spread, without_dropout
    from twofold.compress.distil.task import DistilTask, outputs

__all__ = [
    "Arrays",
    "Distil",
    "DistilTask",
    "Distilled",
    "Examples",
    "Feed",
    "Lesson",
    "Network",
    "Reader",
    "SmallRanker",
    "Static",
    "StaticStudent",
    "TextVectors",
    "Texts",
    "Triples",
    "VectorLoss",
    "alignment",
    "check_collapse",
    "distil",
    "fewer_layers",
    "fit_table",
    "likeness",
    "margin_task",
    "mean_cosine",
    "narrower",
    "neighbour_overlap",
    "open_graph",
    "outputs",
    "outputs_of",
    "principal",
    "put_aside",
    "save_static",
    "small_ranker",
    "spread",
    "static_student",
    "strongest",
    "table_graph",
    "texts_of",
    "top_items",
    "vector_task",
    "without_dropout",
]

MODULES = {
    "distilling": ("Distilled", "Lesson", "VectorLoss", "distil", "put_aside", "vector_task"),
    "ensemble": ("small_ranker",),
    "graph": ("save_static", "table_graph"),
    "margins": ("margin_task",),
    "narrow": ("narrower", "strongest"),
    "static": ("StaticStudent", "fit_table", "static_student"),
    "students": ("TextVectors", "fewer_layers", "spread", "without_dropout"),
    "task": ("DistilTask", "outputs"),
}


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"twofold.compress.distil.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
