"""The report: one HTML file that needs nothing else, with every figure, its interval and its protocol."""

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

from twofold.core.errors import ArtifactError
from twofold.core.slate import Slate
from twofold.evaluate.page import PAGE
from twofold.evaluate.plots import interval_plot, trade_off_plot
from twofold.evaluate.table import Cell, Comparison, Table

__all__ = ["facts", "grid", "render_report", "section", "write_page", "write_report"]

COSTS = ("ms a query", "coverage@10")
"""What quality is plotted against: the first that was measured."""


def write_report(
    path: Path,
    table: Table,
    *,
    title: str,
    slates: Mapping[str, Slate] | None = None,
    cleaning: Mapping[str, Any] | None = None,
) -> None:
    """Write a report, whole or not at all; see `render_report`.

    Raises:
        ArtifactError: the file cannot be written.
    """
    write_page(path, render_report(table, title=title, slates=slates, cleaning=cleaning))


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        ArtifactError: the file cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            temporary = Path(file.name)
            file.write(page)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise ArtifactError(f"the report {path} cannot be written ({error.strerror}); check the folder.") from error


def render_report(
    table: Table,
    *,
    title: str,
    slates: Mapping[str, Slate] | None = None,
    cleaning: Mapping[str, Any] | None = None,
) -> str:
    """Return a page of HTML: quality with intervals, plots, comparisons, protocol, cleaning, examples.

    It loads nothing from elsewhere, follows the reader's light or dark setting and fits a phone. Everything
    that comes from data stands as text, whatever it holds.

    Args:
        table: what was measured.
        title: heading of the page.
        slates: what was asked, in words, to the answer.
        cleaning: what reading and cleaning found, as nested values.
    """
    sections = [
        section("Quality", _quality(table)),
        section("In pictures", _pictures(table)),
        section("Beyond accuracy, and the cost", _beyond(table)),
        section("Where it is hard", _slices(table)),
        section("Differences", _comparisons(table)),
        section("Examples", "".join(_slate(asked, slate) for asked, slate in (slates or {}).items())),
        section("The data", facts(cleaning or {})),
        section("How it was measured", facts(table.protocol)),
    ]
    return PAGE.format(title=escape(title), verdict=_verdict(table), sections="".join(sections))


def section(title: str, body: str) -> str:
    """Return a part of a page with its heading; nothing where the body is empty."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n" if body else ""


def _verdict(table: Table) -> str:
    """Say in a sentence or two which system is best, and how sure that is."""
    best = table.find(table.best, table.main)
    assert best is not None
    level = [c.system for c in table.comparisons if c.against == table.best and c.p_corrected > 1 - table.level]
    words = (
        f"<b>{escape(best.system)}</b> has the highest {escape(table.main)}: "
        f"<b>{best.value:.4f}</b> ({table.level:.0%} interval {best.low:.4f} – {best.high:.4f}). "
    )
    if len(table.rows) > 1:
        others = " and ".join(filter(None, [", ".join(level[:-1]), *level[-1:]]))
        words += (
            f"It cannot be told apart from {escape(others)}. "
            if level
            else "Every other system is lower beyond chance. "
        )
    for c in table.comparisons:
        if c.system == table.best and c.against == table.baseline and c.ratio is not None:
            interval = _between(c.ratio_low, c.ratio_high, 2)
            words += f"Its mean is {c.ratio:.2f} times that of {escape(c.against)} ({interval})."
    return words


def _quality(table: Table) -> str:
    metrics = list(table.rows[0].metrics)
    k = table.main.partition("@")[2]
    columns = list(dict.fromkeys([table.main, *(name for name in metrics if name.partition("@")[2] == k)]))
    order = [row.name for row in _ranked(table)]
    cells = table.cells(columns)
    note = (
        f"Means over {'users of the mean of their cases' if table.clusters is not None else 'cases'}, with "
        f"{table.level:.0%} bootstrap intervals. ★ highest; ≈ not to be told from it by a paired randomisation "
        f"test on {escape(table.main)}, corrected for several comparisons."
    )
    more = [name for name in metrics if name not in columns]
    rest = ""
    if more:
        more_grid = grid(["system", *more], [[name, *table.cells(more)[name]] for name in order])
        rest = f"<details><summary>At other cut-offs</summary>{more_grid}</details>"
    return grid(["system", *columns], [[name, *cells[name]] for name in order]) + f"<p class=note>{note}</p>" + rest


def _ranked(table: Table) -> list[Any]:
    def value(row: Any) -> float:
        found = table.find(row.name, table.main)
        return found.value if found is not None else 0.0

    return sorted(table.rows, key=value, reverse=True)


def _pictures(table: Table) -> str:
    measured = {estimate.metric for estimate in table.estimates}
    costs = [cost for cost in COSTS if cost in measured]
    plots = [interval_plot(table), *(trade_off_plot(table, cost) for cost in costs[:1])]
    return '<div class="plots">' + "".join(f"<figure>{plot}</figure>" for plot in plots) + "</div>"


def _beyond(table: Table) -> str:
    columns = list(dict.fromkeys(name for row in table.rows for name in (*row.beyond, *row.extra)))
    if not columns:
        return ""
    cells = table.cells(columns)
    return grid(["system", *columns], [[row.name, *cells[row.name]] for row in _ranked(table)])


def _slices(table: Table) -> str:
    cases = {part: means.get("cases", 0) for row in table.rows for part, means in row.slices.items()}
    if not cases:
        return ""
    columns = [f"{table.main}, {part}" for part in cases]
    cells = table.cells(columns)
    heads = ["system", *(f"{part} ({count:,.0f})" for part, count in cases.items())]
    rows = [[row.name, *cells[row.name]] for row in _ranked(table)]
    return grid(heads, rows) + f"<p class=note>{escape(table.main)} among parts of the cases; their number beside.</p>"


def _comparisons(table: Table) -> str:
    heads = ["system", "against", "difference", "ratio", "p", "p, corrected"]
    place = {row.name: number for number, row in enumerate(_ranked(table))}
    ordered = sorted(table.comparisons, key=lambda c: (place[c.against], place[c.system]))
    return grid(heads, [_compared(c) for c in ordered]) if ordered else ""


def _compared(c: Comparison) -> list[str | Cell]:
    ratio = Cell(text="–")
    if c.ratio is not None:
        ratio = Cell(text=f"{c.ratio:.2f}", interval=_between(c.ratio_low, c.ratio_high, 2))
    difference = Cell(text=_signed(f"{c.difference:+.4f}"), interval=_between(c.low, c.high, 4))
    return [c.system, Cell(text=c.against), difference, ratio, *(Cell(text=_p(p)) for p in (c.p_value, c.p_corrected))]


def _between(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None or high is None else f"{_signed(f'{low:.{digits}f}')} to {_signed(f'{high:.{digits}f}')}"


def _signed(figure: str) -> str:
    return figure.replace("-", "−")


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"


def grid(heads: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> str:
    """Return a table whose first column names the row; on a narrow page it scrolls sideways by itself."""
    top = "".join(f'<th scope="col">{escape(_words(head))}</th>' for head in heads)
    lines = "".join(f"<tr>{''.join(map(_box, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def _box(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return f'<th scope="row">{escape(cell)}</th>'
    sign = {
        "best": ' <span title="highest">★</span>',
        "level": ' <span title="not to be told from the highest">≈</span>',
    }
    small = f"<small>{escape(cell.interval)}</small>" if cell.interval else ""
    return f'<td class="{cell.mark}">{escape(cell.text)}{sign.get(cell.mark, "")}{small}</td>'


def facts(nested: Mapping[str, Any]) -> str:
    """Return nested values as lists of names and what they are."""
    pairs = "".join(f"<dt>{escape(_words(name))}</dt><dd>{_fact(value)}</dd>" for name, value in nested.items())
    return f"<dl>{pairs}</dl>" if pairs else ""


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return facts(value) or "–"
    if isinstance(value, list | tuple):
        if all(isinstance(inner, str | int | float) for inner in value):
            return ", ".join(map(_fact, value)) or "–"
        return "<ul>" + "".join(f"<li>{_fact(inner)}</li>" for inner in value) + "</ul>"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return escape(
        f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if isinstance(value, float) else str(value)
    )


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _slate(asked: str, slate: Slate) -> str:
    picks = "".join(
        f"<li><b>{escape(pick.title)}</b> <small>{escape(pick.reason)}</small>{_snippet(pick.snippet)}</li>"
        for pick in slate.picks
    )
    short = f"<p class=note>{escape(slate.shortfall)}</p>" if slate.shortfall else ""
    return f'<div class="slate"><h3>{escape(asked)}</h3><ol>{picks}</ol>{short}</div>'


def _snippet(snippet: str | None) -> str:
    """Return a snippet whose only tags are <b>, whatever stood in it."""
    if not snippet:
        return ""
    parts = re.split(r"(</?b>)", snippet)
    balanced = [part for part in parts if part in ("<b>", "</b>")] == ["<b>", "</b>"] * (len(parts) // 4)
    safe = [part if part in ("<b>", "</b>") and balanced else escape(unescape(part)) for part in parts]
    return f"<p>{''.join(safe)}</p>"
