"""Costs that Twofold promises: reading, fitting, and that its EASE is the paper's."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.measure import interleaved
from benchmarks.ml1m_loo import read_ml1m
from benchmarks.peers import ImplicitALS, likes_of
from twofold.core import Dataset
from twofold.data import Cases, Split, read_data, split
from twofold.evaluate import accuracy, cluster_mean
from twofold.flows import default_recipe, fit, rank_cases, single
from twofold.models import ALS, EASE, ALSConfig, EASEConfig

__all__ = ["ease_beside_numpy", "run"]

READ = """
import sys, threading, time
from pathlib import Path
from twofold.data import read_data
def now(name):  # not ru_maxrss: a child takes over its parent's
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024
def watch():
    while not done.wait(0.0005):
        highest.append(max(highest.pop(), now("RssAnon")))
before, done, highest = (now("RssAnon"), now("VmHWM")), threading.Event(), [0]
threading.Thread(target=watch, daemon=True).start()
begun = time.perf_counter()
dataset = read_data(Path(sys.argv[1]))
seconds = time.perf_counter() - begun
done.set()
print(len(dataset.log.items), seconds, highest[0] - before[0], now("VmHWM") - before[1])
"""
ALS_OPTIONS: dict[str, Any] = {"factors": 64, "alpha": 10.0, "iterations": 10}


def run(data: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all costs, each against what it is promised to be."""
    rows = []

    def note(system: str, metric: str, value: float) -> None:
        rows.append({"system": system, "metric": metric, "value": float(value), "low": None, "high": None})
        say(f"{system}: {metric} {value:.4g}")

    for metric, value in _reading(data).items():
        note("read and clean a million ratings", metric, value)
    small, large = read_data(data / "ml-latest-small"), read_ml1m(data)
    forms = {form: EASE(EASEConfig(form=form)) for form in ("dual", "primal")}
    note("EASE on ml-latest-small", "dual form, seconds", interleaved({"": lambda: forms["dual"].fit(small)}, 3)[""])
    note(
        "EASE on ml-latest-small", "primal form, seconds", interleaved({"": lambda: forms["primal"].fit(small)}, 1)[""]
    )
    train, cases = split(large, Split(kind="leave-one-out"))
    for metric, value in ease_beside_numpy(train, cases).items():
        note("EASE on ml-1m, leave one out", metric, value)
    for metric, value in _als(train).items():
        note("ALS on ml-1m, 64 factors, 2 threads", metric, value)
    seconds = interleaved({"": lambda: fit(train, default_recipe())}, 3)[""]
    note("default recipe on ml-1m", "fit with tuning, seconds", seconds)
    return {"protocol": {"timing": "median of interleaved rounds", "als": ALS_OPTIONS}, "rows": rows}


def _reading(data: Path) -> dict[str, float]:
    """Read a CSV of a million ratings in fresh processes; memory is how much its peak is above that after imports.

    Ratings and times that the source lacks are filled in, so that every row is kept.
    """
    events = pl.read_parquet(data / "ml-1m" / "ml-1m_events.parquet")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        ratings = pl.col("rating").cast(pl.Int8).fill_null(4)
        events.select("userId", "movieId", ratings, pl.col("timestamp").forward_fill().fill_null(0)).write_csv(path)
        size = path.stat().st_size
        runs = []
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", READ, str(path)], check=True, capture_output=True, text=True
            ).stdout
            runs.append([float(part) for part in done.split()])
    count, seconds, taken, resident = np.median(runs, axis=0)
    return {
        "events": count,
        "seconds": seconds,
        "file MB": size / 1e6,
        "peak memory, times the file": taken / size,
        "the same with mapped program code": resident / size,
    }


def ease_beside_numpy(train: Dataset, cases: Cases) -> dict[str, float]:
    """Return NDCG@10 of EASE, of its closed form written in plain NumPy, and how far they are apart."""
    items, scores = rank_cases(fit(train, single("ease", {"kind": "ease", "reg": 300.0}, default_recipe())), cases)
    ours = accuracy(items, scores, cases.targets, ks=(10,))["ndcg@10"]
    matrix = np.zeros((len(train.users), len(train.items)))
    matrix[train.log.rows, train.log.items] = 1
    inverse = np.linalg.inv(matrix.T @ matrix + 300.0 * np.eye(matrix.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    found = matrix[cases.users] @ weights
    found[~cases.allowed(matrix.shape[1])] = -np.inf
    target = cases.targets.items
    place = (found >= found[np.arange(len(target)), target][:, None]).sum(axis=1)
    theirs = np.where(place <= 10, 1 / np.log2(place + 1), 0.0)
    mean, reference = cluster_mean(ours, cases.users), cluster_mean(theirs, cases.users)
    return {"ndcg@10": mean, "ndcg@10 of plain NumPy": reference, "difference": abs(mean - reference)}


def _als(train: Dataset) -> dict[str, float]:
    """Fit ALS through Twofold and by calling `implicit` directly, in turns."""
    likes = likes_of(train.log, len(train.items))
    ours, theirs = (
        ALS(ALSConfig(**ALS_OPTIONS, reg=1.0, threads=2)),
        ImplicitALS({**ALS_OPTIONS, "regularization": 1.0, "num_threads": 2}),
    )
    spent = interleaved({"ours": lambda: ours.fit(train, rng=0), "theirs": lambda: theirs.fit(likes)}, 5)
    return {"seconds": spent["ours"], "implicit, seconds": spent["theirs"], "ratio": spent["ours"] / spent["theirs"]}
