"""A server that is asked, told and changed for long: whether its memory stays as it was.

`TWOFOLD_SOAK_SECONDS` says how long, `TWOFOLD_SOAK_PAUSE` how many seconds lie between two rounds of a connection.
"""

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.freshness import Connection, connected
from benchmarks.server import Running, fitted, serving
from twofold.data import read_data

__all__ = ["run"]

SECONDS = float(os.environ.get("TWOFOLD_SOAK_SECONDS", "3600"))
PAUSE = float(os.environ.get("TWOFOLD_SOAK_PAUSE", "0"))
WARM = 0.2
"""The part of the time after which the memory is first looked at: caches are full by then."""
ITEMS = 200
"""Items that are described anew again and again."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def run(data: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Ask both workers, tell them of clicks, and describe items anew; look at their memory."""
    dataset = read_data(data / "ml-latest-small")
    users, words = dataset.user_ids.ids.to_list(), dataset.items["title"].to_list()
    with tempfile.TemporaryDirectory() as folder, serving(fitted(dataset, Path(folder)), "--workers", "2") as server:
        connections, stop, done = connected(server, 2), threading.Event(), [0, 0]

        def work(place: int) -> None:
            for number in itertools.count():
                if stop.is_set():
                    return
                _work(connections[place], number, users[number % len(users)], words[number % len(words)])
                done[place] = number
                stop.wait(PAUSE)

        threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
        for thread in threads:
            thread.start()
        try:
            looks = _watch(server, [connection.worker for connection in connections], progress)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    third = max(1, len(looks) // 3)
    first, last = np.median(looks[:third]), np.median(looks[-third:])
    slope = np.polyfit(np.linspace(0, SECONDS * (1 - WARM) / 3_600, len(looks)), looks, 1)[0]
    found = {
        "MB at first": first,
        "MB at last": last,
        "growth, %": 100 * (last / first - 1),
        "MB an hour": slope,
        "rounds": sum(done),
    }
    rows = [
        {"system": "twofold serve", "metric": name, "value": float(value), "low": None, "high": None}
        for name, value in found.items()
    ]
    protocol = {
        "seconds": SECONDS,
        "pause between rounds, s": PAUSE,
        "workers": 2,
        "data": "ml-latest-small, default recipe",
        "a round": "a recommendation, a search and a click; in each 50th an item of 200 is described anew",
        "memory": f"resident, of both workers; medians of the first and the last third, the first {WARM:.0%} left out",
    }
    return {"protocol": protocol, "rows": rows}


def _work(connection: Connection, number: int, user: Any, title: str) -> None:
    item = connection.picks("/recommend", user=user)[0]
    connection.picks("/search", text=f"{title[:12]} {number % 1_000}")
    # The same few people, whose newest deeds are all that is kept: people who are new for ever would fill any memory.
    connection.ask("POST", "/events", {"kind": "click", "item": item, "user": f"visitor {number % 500}"})
    if number % 50 == 0:
        place = 900_000_000 + number // 50 % ITEMS
        connection.ask("PUT", f"/items/{place}", {"attributes": {"title": f"Film {number}"}})


def _watch(server: Running, workers: list[int], progress: Callable[[str], None]) -> list[float]:
    """Return the megabytes that the workers hold, looked at every two seconds once they are warm."""
    looks, begun = [], time.monotonic()
    while (passed := time.monotonic() - begun) < SECONDS:
        time.sleep(2)
        held = sum(int(Path(f"/proc/{worker}/statm").read_text().split()[1]) for worker in workers) * PAGE / 1e6
        if passed > WARM * SECONDS:
            looks.append(held)
        if int(passed) % 60 < 2:
            progress(f"{passed:.0f} s: {held:.0f} MB, {server.url}")
    return looks
