"""The report of a ladder: one HTML page with the frontier's picture, every variant's figures and the protocol."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from twofold.compress.frontier import Verdict
from twofold.core.ladder import Rung
from twofold.evaluate.page import PAGE
from twofold.evaluate.plots import ACCENT, FAINT, INK, draw, name_points
from twofold.evaluate.report import facts, grid, section, write_page
from twofold.evaluate.table import Cell
from twofold.flows.compress.finishing import Outcome

__all__ = ["COLUMNS", "SHORT_COLUMNS", "cells", "render_page", "short_cells", "write_ladder_report"]

COLUMNS = (
    "quality",
    "kept",
    "p",
    "ms a query",
    "p99 ms",
    "times as fast",
    "a second at 32",
    "two threads",
    "times the rate",
    "MB on disk",
    "MB resident",
    "parameters",
    "runtime",
)
SHORT_COLUMNS = ("kept", "ms", "× fast", "× rate", "MB", "runtime")
"""What a terminal of 80 columns has room for."""
NONE = "–"
DOTS = "<p class=note>The line joins the rungs of the ladder; the dots without a name are what was left out.</p>"


def cells(rung: Rung) -> list[Cell]:
    """Return a rung's figures, a cell a column of `COLUMNS`."""
    interval = ""
    if rung.quality_low is not None and rung.quality_high is not None:
        interval = f"{rung.quality_low:.3f} to {rung.quality_high:.3f}"
    return [
        Cell(text=_number(rung.quality, ".4f"), interval=interval),
        Cell(text=_number(rung.kept, ".1%")),
        Cell(text=_p(rung.p_value)),
        Cell(text=_number(rung.milliseconds, ".3g")),
        Cell(text=_number(rung.slow_milliseconds, ".3g")),
        Cell(text=_number(rung.speedup, ".3g")),
        Cell(text=_number(rung.rate, ",.0f")),
        Cell(text=_number(rung.rate_two, ",.0f")),
        Cell(text=_number(rung.rate_gain, ".3g")),
        Cell(text=_number(rung.bytes / 1e6 if rung.bytes else None, ".1f")),
        Cell(text=_number(rung.memory / 1e6 if rung.memory is not None else None, ".0f")),
        Cell(text=f"{rung.parameters / 1e6:.2f} M" if rung.parameters else NONE),
        Cell(text=rung.runtime if rung.bytes else NONE),
    ]


def short_cells(rung: Rung) -> list[str]:
    """Return a rung's figures, a text a column of `SHORT_COLUMNS`."""
    found = {name: cell.text for name, cell in zip(COLUMNS, cells(rung), strict=True)}
    return [found[name] for name in ("kept", "ms a query", "times as fast", "times the rate", "MB on disk", "runtime")]


def write_ladder_report(path: Path, outcome: Outcome) -> None:
    """Write the report, whole or not at all; see `render_page`.

    Raises:
        ArtifactError: it cannot be written.
    """
    write_page(path, render_page(outcome))


def render_page(outcome: Outcome) -> str:
    """Return a page of HTML that loads nothing from elsewhere: the frontier, the ladder, what was left out, and how."""
    ladder = outcome.ladder
    out = [verdict for verdict in outcome.verdicts if verdict.refused]
    name = str(ladder.protocol.get("name", "the model"))
    everything = [*([ladder.teacher] if ladder.teacher else []), *ladder.rungs]
    sections = [
        section("The ladder", _table(everything) + _explained(ladder.teacher)),
        section("The frontier", f'<div class="plots"><figure>{frontier_plot(outcome)}</figure></div>' + DOTS),
        section("What was left out, and why", _left_out(out) + _untried(outcome)),
        section("How each was made", facts({rung.name: _made(rung) for rung in ladder.rungs})),
        section("How it was measured", facts({**ladder.protocol, "machine": dict(ladder.machine)})),
    ]
    return PAGE.format(title=escape(f"The ladder of {name}"), verdict=_verdict(outcome), sections="".join(sections))


def frontier_plot(outcome: Outcome) -> str:
    """Return an SVG with the quality kept and the time of each variant; a line joins the rungs of the ladder."""
    ladder = outcome.ladder
    rungs = {rung.name for rung in ladder.rungs}
    drawn = [verdict.rung for verdict in outcome.verdicts if _drawable(verdict.rung)]
    points = [(rung.name, rung.milliseconds, rung.kept or 0.0) for rung in drawn]
    if ladder.teacher is not None:
        points.append((ladder.teacher.name, ladder.teacher.milliseconds, 1.0))
    words = "; ".join(f"{name} {x:.3g} ms and {y:.3f}" for name, x, y in points)
    label = f"Milliseconds a query and the share of the teacher's quality that is kept: {words}."

    def fill(axes: Any) -> None:
        line = sorted((rung.milliseconds, rung.kept) for rung in ladder.rungs if rung.kept is not None)
        axes.plot([x for x, _ in line], [y for _, y in line], color=ACCENT, linewidth=1.4, zorder=1)
        if ladder.floor is not None:
            axes.axhline(ladder.floor, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        for name, x, y in points:
            best = name in rungs
            look = {"color": ACCENT, "markersize": 6} if best else {"color": INK, "markersize": 4, "alpha": 0.55}
            axes.plot([x], [y], "o", **look)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.14, y=0.12)
        axes.grid(visible=True, which="both", axis="x", color=FAINT)
        axes.set_xlabel("milliseconds a query (logarithmic)")
        axes.set_ylabel("share of the teacher's quality kept")
        teacher = ladder.teacher.name if ladder.teacher is not None else ""
        name_points(axes, [point for point in points if point[0] in rungs | {teacher}], ladder.rungs[-1].name)

    return draw(fill, height=3.8, label=label)


def _drawable(rung: Rung) -> bool:
    return rung.kept is not None and math.isfinite(rung.milliseconds) and rung.milliseconds > 0


def _verdict(outcome: Outcome) -> str:
    last, teacher = outcome.ladder.rungs[-1], outcome.ladder.teacher
    count = len(outcome.ladder.rungs)
    words = f"{count} {'rung' if count == 1 else 'rungs'} of {len(outcome.verdicts)} variants. "
    if teacher is not None and last.speedup and last.kept is not None:
        words += (
            f"The fastest, <b>{escape(last.name)}</b>, answers a query <b>{last.speedup:.1f} times</b> as fast as the "
            f"teacher, is {teacher.bytes / max(last.bytes, 1):.1f} times as small and keeps <b>{last.kept:.1%}</b> of "
            "its quality."
        )
    return words


def _table(rungs: Sequence[Rung]) -> str:
    rows: list[list[str | Cell]] = [[rung.name, *cells(rung)] for rung in rungs]
    return grid(["rung", *COLUMNS], rows)


def _explained(teacher: Rung | None) -> str:
    against = teacher.name if teacher is not None else "the teacher"
    return (
        f"<p class=note>“times” are against {escape(against)}, measured in turns; p is of a paired test against its "
        "quality. Quality is that of cases on which no choice was made.</p>"
    )


def _left_out(out: Sequence[Verdict]) -> str:
    if not out:
        return ""
    told = {}
    for verdict in out:
        figures = dict(zip(COLUMNS, cells(verdict.rung), strict=True))
        said = f" ({figures['kept'].text} kept, {figures['times as fast'].text} times as fast as the teacher)"
        told[verdict.rung.name] = verdict.refused + ("" if verdict.rung.kept is None else said)
    return facts(told) + "<p class=note>Quality on the cases by which choices were made.</p>"


def _untried(outcome: Outcome) -> str:
    if not outcome.untried:
        return ""
    names = escape("; ".join(outcome.untried))
    return f"<p class=note>There was no time for: {names}. Run the same again with a larger budget to go on.</p>"


def _made(rung: Rung) -> dict[str, Any]:
    return {"steps": " → ".join(rung.steps), **({"notes": list(rung.notes)} if rung.notes else {})}


def _number(value: float | None, form: str) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    shown = format(value, form)
    return f"{value:,.0f}" if "e" in shown else shown


def _p(value: float | None) -> str:
    return NONE if value is None else "< .001" if value < 0.001 else f"{value:.3f}"
