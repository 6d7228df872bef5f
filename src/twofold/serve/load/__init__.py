"""Load on a server: a trace of questions, sent open-loop, and a report of what became of them."""

from twofold.serve.load.arrivals import SHAPES, Phase, Shape, Trace
from twofold.serve.load.caches import Caches, hit_rates, read_caches
from twofold.serve.load.plot import check_format, write_plot
from twofold.serve.load.questions import DEADLINES, Asking, Catalogue, Question, draw
from twofold.serve.load.report import Report, Summary
from twofold.serve.load.running import run_load

__all__ = [
    "DEADLINES",
    "SHAPES",
    "Asking",
    "Caches",
    "Catalogue",
    "Phase",
    "Question",
    "Report",
    "Shape",
    "Summary",
    "Trace",
    "check_format",
    "draw",
    "hit_rates",
    "read_caches",
    "run_load",
    "write_plot",
]
