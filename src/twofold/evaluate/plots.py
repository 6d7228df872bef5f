"""Plots of a table as inline SVG: text stays text, colours come from the page that holds them."""

import io
import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from twofold.evaluate.table import Estimate, Table

__all__ = ["ACCENT", "FAINT", "INK", "draw", "interval_plot", "name_points", "trade_off_plot"]

Point = tuple[str, float, float]
Box = tuple[float, float, float, float]

WIDTH = 4.6
"""Inches; narrow, so that text stays readable on a phone."""
LINE, LETTER = 10.5, 4.9
"""Height of a label and about the width of one of its letters, in points."""
INK, FAINT, ACCENT = "#010101", "#020202", "#030303"
PAGE_COLOURS = {INK: "var(--ink)", FAINT: "var(--line)", ACCENT: "var(--accent)"}
"""Colours drawn, and the page's colours that they stand for: one drawing serves light and dark pages."""

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "twofold",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "figure.dpi": 72,
}


def interval_plot(table: Table) -> str:
    """Return an SVG with the main metric of each system and its interval, the best on top."""
    found = [e for row in table.rows if (e := table.find(row.name, table.main)) is not None]
    found.sort(key=lambda estimate: estimate.value)
    words = "; ".join(f"{e.system} {e.value:.4f} ({e.low:.4f} to {e.high:.4f})" for e in reversed(found))
    label = f"{table.main} of each system with its {table.level:.0%} interval: {words}."
    return draw(lambda axes: _intervals(axes, found, table), height=0.6 + 0.26 * len(found), label=label)


def trade_off_plot(table: Table, cost: str) -> str:
    """Return an SVG that puts the main metric of each system against another figure.

    Args:
        table: what was measured.
        cost: a metric of the table, such as `ms a query` or `coverage@10`; systems without it are left out.
    """
    points: list[Point] = []
    for row in table.rows:
        quality, other = table.find(row.name, table.main), table.find(row.name, cost)
        if quality is not None and other is not None:
            points.append((row.name, other.value, quality.value))
    words = "; ".join(f"{name} {x:.4g} and {y:.4f}" for name, x, y in points)
    label = f"{cost} and {table.main} of each system: {words}."
    return draw(lambda axes: _trade_off(axes, points, cost, table), height=3.0, label=label)


def draw(fill: Callable[[Any], None], *, height: float, label: str) -> str:
    """Return an SVG for a page.

    Args:
        fill: draws into matplotlib's axes, in `INK`, `FAINT` and `ACCENT`, which the page gives its own colours.
        height: inches.
        label: what is to be seen, in words, for those who do not see it.
    """
    # matplotlib takes half a second to import, so it is imported where something is drawn.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    buffer = io.StringIO()
    with rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's own font draws the text
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0)
        fill(axes)
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    return _inline(buffer.getvalue(), label)


def _inline(svg: str, label: str) -> str:
    """Return a drawing fit to stand inside a page: no prolog, no fixed size, described, in the page's colours."""
    svg = svg[svg.index("<svg") :]
    head, _, body = svg.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace("'DejaVu Sans'", "inherit").replace("xlink:href", "href")
    for drawn, colour in PAGE_COLOURS.items():
        body = body.replace(drawn, colour)
    # Identifiers of several drawings on one page must not meet.
    mark = f"d{zlib.crc32(label.encode()):x}-"
    body = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{mark}", body)
    return f'<svg role="img" aria-label="{escape(label)}" {box.group() if box else ""}>{body}'


def _intervals(axes: Any, found: Sequence[Estimate], table: Table) -> None:
    for place, estimate in enumerate(found):
        best = estimate.system == table.best
        colour = ACCENT if best else INK
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=2.2 if best else 1.4)
        axes.plot([estimate.value], [place], "o", color=colour, markersize=6.5 if best else 5)
    axes.set_yticks(range(len(found)), [_short(estimate.system) for estimate in found])
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{table.main}, with {table.level:.0%} intervals")


def _trade_off(axes: Any, points: Sequence[Point], cost: str, table: Table) -> None:
    values = [x for _, x, _ in points]
    wide = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
    axes.set_xscale("log" if wide else "linear")
    for name, x, y in points:
        axes.plot([x], [y], "o", color=ACCENT if name == table.best else INK, markersize=5.5)
    axes.margins(x=0.1, y=0.1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(cost + (" (logarithmic)" if wide else ""))
    axes.set_ylabel(table.main)
    name_points(axes, points, table.best)


def name_points(axes: Any, points: Sequence[Point], best: str) -> None:
    """Write each name beside its point, where it meets no other name and no point, with a thin line if far."""
    axes.figure.draw_without_rendering()
    places = [(name, *axes.transData.transform((x, y))) for name, x, y in points]
    taken = [(x - 4, y - 4, x + 4, y + 4) for _, x, y in places]
    for (name, x, y), (_, *point) in zip(places, points, strict=True):
        text = _short(name)
        right, up, box = _free_place(x, y, len(text) * LETTER, taken, axes.bbox)
        taken.append(box)
        axes.annotate(
            text,
            point,
            xytext=(8 if right else -8, up),
            textcoords="offset points",
            va="center",
            ha="left" if right else "right",
            color=ACCENT if name == best else INK,
            arrowprops={"arrowstyle": "-", "color": FAINT, "shrinkA": 0, "shrinkB": 3} if abs(up) > LINE else None,
        )


def _free_place(x: float, y: float, width: float, taken: Sequence[Box], frame: Any) -> tuple[bool, float, Box]:
    """Return side, height above the point, and box of a label: the first that is free, else the first of all."""
    found = []
    for up in (0, LINE, -LINE, 2 * LINE, -2 * LINE, 3 * LINE, -3 * LINE):
        for right in (True, False):
            left = x + 8 if right else x - 8 - width
            box = (left, y + up - LINE / 2, left + width, y + up + LINE / 2)
            inside = frame.x0 <= box[0] and box[2] <= frame.x1 and frame.y0 <= box[1] and box[3] <= frame.y1
            found.append((right, up, box))
            if inside and not any(_meet(box, other) for other in taken):
                return found[-1]
    return found[0]


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _short(name: str, length: int = 26) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
