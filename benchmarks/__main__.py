"""Run a benchmark, print its table and write its result as JSON."""

import argparse
import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from twofold.core.errors import TwofoldError
from twofold.evaluate import machine

NAMES = {
    "beauty-loo": "beauty_loo",
    "clothing": "clothing",
    "cold-items": "cold_items",
    "compress": "compress",
    "compress-backends": "compress_backends",
    "compress-parts": "compress_parts",
    "costs": "costs",
    "dense": "dense",
    "freshness": "freshness",
    "hostile": "hostile",
    "ml1m-large": "ml1m_large",
    "ml1m-loo": "ml1m_loo",
    "movielens-small": "movielens_small",
    "movielens-small-frozen": "movielens_small_frozen",
    "overload": "overload",
    "scifact": "scifact",
    "search": "search",
    "serving": "serving",
    "serving-search": "serving_search",
    "soak": "soak",
}

COLUMNS = ("ndcg@10", "hr@10", "fit seconds", "fit peak MB", "ms a query")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(NAMES))
    parser.add_argument("--data", type=Path, help="folder that holds the data sets; not needed where data are made up")
    parser.add_argument("--json", type=Path, help="where the result goes")
    chosen = parser.parse_args(arguments)
    run: Callable[..., dict[str, Any]] = import_module(f"benchmarks.{NAMES[chosen.name]}").run
    error_console = Console(stderr=True)
    try:
        result = {"name": chosen.name, "machine": machine(), **run(chosen.data, error_console.print)}
    except TwofoldError as error:
        error_console.print(f"error: {error}", style="red", markup=False)
        return 1
    show(result)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def show(result: dict[str, Any]) -> None:
    """Print a result: a table of the usual columns where it has them, else a line a figure."""
    rows = result["rows"]
    figures = {(row["system"], row["metric"]): row for row in rows}
    systems = list(dict.fromkeys(row["system"] for row in rows))
    columns = [name for name in COLUMNS if any(row["metric"] == name for row in rows)]
    console = Console()
    if len(columns) > 2:
        grid = Table("system", *columns, title=result["name"])
        for system in systems:
            grid.add_row(system, *(_cell(figures.get((system, name)), "\n") for name in columns))
    else:
        grid = Table("system", "metric", "value", title=result["name"])
        for (system, metric), row in figures.items():
            grid.add_row(system, metric, _cell(row, " "))
    console.print(grid)
    console.print_json(data=result["protocol"])


def _cell(row: dict[str, Any] | None, gap: str) -> str:
    if row is None:
        return ""
    value = f"{row['value']:.4f}" if abs(row["value"]) < 10 else f"{row['value']:,.0f}"
    return value if row.get("low") is None else f"{value}{gap}{row['low']:.3f}–{row['high']:.3f}"


if __name__ == "__main__":
    sys.exit(main())
