"""How soon answers know what happened: clicks change the next slate, a new item is found, by either of two workers."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.server import Running, fitted, serving
from twofold.data import read_data

__all__ = ["connected", "run"]

EVENTS, ITEMS = 400, 150
PAUSE = 0.001
"""Between two looks, so that looking does not keep the workers busy."""
PATIENCE = 10.0

Where = Literal["the worker that was told", "the other worker"]


class Connection:
    """A connection that stays with one worker."""

    def __init__(self, server: Running) -> None:
        self._http = HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.worker: int = self.ask("GET", "/health")["process"]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return the answer."""
        content = None if body is None else json.dumps(body)
        self._http.request(method, path, content, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {answer}")
        return answer

    def picks(self, path: str, **body: Any) -> list[Any]:
        """Return the items of a slate."""
        return [pick["item"] for pick in self.ask("POST", path, body)["slate"]["picks"]]


def connected(server: Running, workers: int) -> list[Connection]:
    """Return a connection to each worker of a server."""
    found: dict[int, Connection] = {}
    spare: list[Connection] = []
    until = time.monotonic() + 120
    while len(found) < workers:
        if time.monotonic() > until:
            raise RuntimeError(f"only {len(found)} of {workers} workers answer")
        connection = Connection(server)
        if connection.worker in found:
            spare.append(connection)  # kept open: a worker that has many lets others have the next
        found.setdefault(connection.worker, connection)
    return list(found.values())


def run(data: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure both on ml-latest-small, with the default recipe and two workers."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = fitted(read_data(data / "ml-latest-small"), Path(folder))
        with serving(artifact, "--workers", "2") as server:
            workers = connected(server, 2)
            for connection in workers:  # the first answers are slow
                for _ in range(50):
                    connection.picks("/recommend", user="somebody", k=10)
            progress(f"{EVENTS} events")
            events = _measure(workers, EVENTS, _click)
            progress(f"{ITEMS} items")
            items = _measure(workers, ITEMS, _put)
    rows = []
    for system, found in (("event to changed slate", events), ("item to found", items)):
        for where, seconds in found.items():
            for name, value in (("p50", 50), ("p99", 99), ("max", 100)):
                milliseconds = 1000 * float(np.percentile(seconds, value))
                metric = f"{name} ms, {where}"
                rows.append({"system": system, "metric": metric, "value": milliseconds, "low": None, "high": None})
    protocol = {
        "data": "ml-latest-small, default recipe",
        "workers": 2,
        "events": f"{EVENTS} clicks, each of a new user; half are told to either worker",
        "items": f"{ITEMS} items, each with a word of its own in its title; half are told to either worker",
        "time": "from the acknowledgement to the end of the first answer that knows; 1 ms between two questions",
        "load besides": f"{os.getloadavg()[1]:.1f} processes on average in the last 5 minutes",
    }
    return {"protocol": protocol, "rows": rows}


def _measure(
    workers: list[Connection], count: int, happen: Callable[[Connection, int], Callable[[Connection], bool]]
) -> dict[Where, list[float]]:
    """Let things happen, and return in how many seconds the worker that was told and the other one know."""
    found: dict[Where, list[float]] = {"the worker that was told": [], "the other worker": []}
    for number in range(count):
        told, other = workers[:: 1 if number % 2 else -1]
        where: Where = "the other worker" if number // 2 % 2 else "the worker that was told"
        asked = other if where == "the other worker" else told
        known = happen(told, number)
        begun = time.perf_counter()
        while not known(asked):
            if time.perf_counter() - begun > PATIENCE:
                raise RuntimeError(f"{where} does not know after {PATIENCE:g} s")
            time.sleep(PAUSE)
        found[where].append(time.perf_counter() - begun)
    return found


def _click(told: Connection, number: int) -> Callable[[Connection], bool]:
    user = f"new-{number}"
    item = told.picks("/recommend", user=user)[0]
    told.ask("POST", "/events", {"kind": "click", "item": item, "user": user})
    return lambda asked: item not in asked.picks("/recommend", user=user)


def _put(told: Connection, number: int) -> Callable[[Connection], bool]:
    # Words of their own, and far from each other: near ones are found for each other, as typing errors.
    word = "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(b"%d" % number).digest()[:12])
    told.ask("PUT", f"/items/{900_000_000 + number}", {"attributes": {"title": f"Film {word}"}})
    return lambda asked: 900_000_000 + number in asked.picks("/search", text=word)
