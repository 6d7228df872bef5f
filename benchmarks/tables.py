"""The tables in the READMEs, written from `benchmarks/results/*.json`: `python -m benchmarks.tables [--check]`.

A table stands between two comments. The first names the result and the metrics, quoted where they hold spaces:

    <!-- table: movielens-small ndcg@10 hr@10 "fit seconds" -->
    <!-- end -->
"""

import argparse
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

__all__ = ["main", "render", "rewrite"]

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"README.md": ("system", "not measured yet"), "README.zh-CN.md": ("系统", "尚未测量")}
"""Each page, with its words for the first column and for a table without a result."""
PART = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: list[str] | None = None, *, root: Path = ROOT) -> int:
    """Rewrite the tables, or with `--check` only say which pages are stale; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 where a table is stale")
    check = parser.parse_args(arguments).check
    stale = []
    for page, words in PAGES.items():
        path = root / page
        old = path.read_text(encoding="utf-8")
        new = rewrite(old, root / "benchmarks" / "results", words)
        if new == old:
            continue
        stale.append(page)
        if not check:
            path.write_text(new, encoding="utf-8")
    for page in stale:
        sys.stdout.write(f"{page} {'is stale; run python -m benchmarks.tables' if check else 'is rewritten'}\n")
    return int(check and bool(stale))


def rewrite(text: str, results: Path, words: tuple[str, str]) -> str:
    """Return a page with every table made anew from the results in a folder."""

    def part(match: re.Match[str]) -> str:
        name, *metrics = shlex.split(match[2])
        path = results / f"{name}.json"
        if not path.is_file():
            return f"{match[1]}{name}: {words[1]}.\n{match[3]}"
        return match[1] + render(json.loads(path.read_text(encoding="utf-8")), metrics, words[0]) + match[3]

    return PART.sub(part, text)


def render(result: dict[str, Any], metrics: list[str], head: str) -> str:
    """Return a result as a Markdown table: a row a system, a column a metric.

    Figures with an interval are quality: the highest of a column is bold. The last line names the machine.

    Raises:
        ValueError: the result has no figure for a metric.
    """
    cells = {(row["system"], row["metric"]): row for row in result["rows"]}
    for metric in metrics:
        if not any(metric == found for _, found in cells):
            raise ValueError(f"{result['name']}.json has no metric {metric!r}; mend the comment above the table.")
    best = {metric: max(row["value"] for row in result["rows"] if row["metric"] == metric) for metric in metrics}
    systems = dict.fromkeys(row["system"] for row in result["rows"])
    lines = [
        _line(head, *metrics),
        _line("---", *["---:"] * len(metrics)),
        *(_line(system, *(_cell(cells.get((system, name)), best[name]) for name in metrics)) for system in systems),
    ]
    machine = result["machine"]
    about = f"`benchmarks/results/{result['name']}.json`; {machine['cpu']}, {machine['cores']} cores"
    return "\n".join([*lines, "", f"{about}, Python {machine['python']}.", ""])


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: dict[str, Any] | None, best: float) -> str:
    if row is None or row["value"] is None:
        return ""
    value, low, high = row["value"], row.get("low"), row.get("high")
    if low is None or high is None:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    text = f"{value:.4f}"
    return f"{f'**{text}**' if value == best else text} [{low:.4f}, {high:.4f}]"


if __name__ == "__main__":
    sys.exit(main())
