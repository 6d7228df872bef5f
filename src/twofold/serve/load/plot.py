"""A picture of a load test: what came, how long answers took, and which rungs gave them, over time."""

from pathlib import Path
from typing import Any

import numpy as np

from twofold.core.errors import ConfigError
from twofold.serve.load.arrivals import Moments
from twofold.serve.load.report import NO_RUNG, Report

__all__ = ["FORMATS", "check_format", "write_plot"]

FORMATS = (".svg", ".png")
BINS = 60
"""Parts of the time that are drawn, at most; none is shorter than a second."""


def write_plot(path: Path, report: Report) -> None:
    """Draw a report into a file.

    Args:
        path: ends in .svg or .png.
        report: what is drawn.

    Raises:
        ConfigError: the file ends otherwise, or cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  half a second to import

    check_format(path)
    count = max(1, min(BINS, int(report.trace.seconds)))
    edges = np.linspace(0, report.trace.seconds, count + 1)
    figure = Figure(figsize=(8, 7), layout="constrained")
    rates, latencies, rungs = figure.subplots(3, 1, sharex=True)
    _rates(rates, report, edges)
    _latencies(latencies, report, edges)
    _rungs(rungs, report, edges)
    rungs.set_xlabel("seconds")
    for axes in (rates, latencies, rungs):
        axes.legend(loc="upper left", fontsize=8, ncols=4)
        axes.grid(visible=True, alpha=0.3)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); give another --plot.") from None


def check_format(path: Path) -> None:
    """See that a file can be drawn into.

    Raises:
        ConfigError: it ends in something else.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path} is neither .svg nor .png; give --plot one of them.")


def _rates(axes: Any, report: Report, edges: Moments) -> None:
    due, width = report.answers.due, edges[1] - edges[0]
    parts = {
        "sent": np.ones(len(due), bool),
        "answered in time": report.in_time,
        "refused": report.answers.status == 429,
    }
    for (name, rows), colour in zip(parts.items(), ("0.6", "tab:green", "tab:red"), strict=True):
        axes.stairs(np.histogram(due[rows], edges)[0] / width, edges, label=name, color=colour, linewidth=1.5)
    axes.set_ylabel("questions a second")


def _latencies(axes: Any, report: Report, edges: Moments) -> None:
    known = ~np.isnan(report.latencies)
    place = np.digitize(report.answers.due[known], edges) - 1
    milliseconds = report.latencies[known] * 1000
    middle = (edges[1:] + edges[:-1]) / 2
    for level, colour in ((50, "tab:blue"), (99, "tab:orange")):
        found = [
            np.percentile(part, level) if len(part := milliseconds[place == number]) else np.nan
            for number in range(len(middle))
        ]
        axes.plot(middle, found, label=f"p{level}", color=colour)
    for priority in dict.fromkeys(question.priority for question in report.questions):
        axes.axhline(report.deadlines[priority], color="0.4", linestyle=":", label=f"deadline, {priority}")
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds")


def _rungs(axes: Any, report: Report, edges: Moments) -> None:
    names = [*report.qualities, NO_RUNG]
    used = np.array([NO_RUNG if rung is None else rung for rung in report.answers.rungs], dtype=object)
    counts = np.array([np.histogram(report.answers.due[report.in_time & (used == name)], edges)[0] for name in names])
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    middle = (edges[1:] + edges[:-1]) / 2
    shown = [place for place in range(len(names)) if counts[place].any()]
    axes.stackplot(middle, shares[shown], labels=[names[place] for place in shown], step="mid")
    axes.set_ylabel("share of rungs")
    axes.set_ylim(0, 1)
