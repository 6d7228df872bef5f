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
    "costs": "costs",
    "ml1m-loo": "ml1m_loo",
    "movielens-small": "movielens_small",
    "movielens-small-frozen": "movielens_small_frozen",
    "search": "search",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(NAMES))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
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
    """Print a result: a row a system, a column a metric, with intervals where there are some."""
    metrics = list(dict.fromkeys(row["metric"] for row in result["rows"]))
    grid = Table("system", *metrics, title=result["name"])
    for system in dict.fromkeys(row["system"] for row in result["rows"]):
        cells = {row["metric"]: row for row in result["rows"] if row["system"] == system}
        grid.add_row(system, *(_cell(cells.get(metric)) for metric in metrics))
    Console().print(grid)
    Console().print_json(data=result["protocol"])


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    value = f"{row['value']:.4f}" if abs(row["value"]) < 10 else f"{row['value']:,.0f}"
    return value if row.get("low") is None else f"{value} [{row['low']:.4f}, {row['high']:.4f}]"


if __name__ == "__main__":
    sys.exit(main())
