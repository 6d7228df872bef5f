"""Recommendations over HTTP, beside what others would put behind FastAPI, on the same cores and data.

Each is a server of two workers on the same machine as what asks it. At a fixed rate, arrivals are by chance and an
answer's time counts from when it was due; at saturation, 16 connections ask as fast as they are answered. Rounds of
all servers are in turn, so that whatever else the machine does hits all alike.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import httpx2
import numpy as np

from benchmarks import http_peers
from benchmarks.server import Running, fitted, serving
from twofold.core.errors import DataError
from twofold.data import read_data
from twofold.serve.load import Caches, hit_rates, read_caches

__all__ = ["PROTOCOL", "SATURATED_SECONDS", "compared", "others", "run"]

RATE, RATE_SECONDS = 100.0, 10.0
CONNECTIONS, SATURATED_SECONDS = 16, 8.0
ROUNDS = int(os.environ.get("TWOFOLD_SERVING_ROUNDS", "3"))
QUESTIONS = 5_000
CLICKS = 10
LUA = """
local paths, bodies = {}, {}
for line in io.lines("%s") do
  local path, body = line:match("(%%S+) (.*)")
  paths[#paths + 1], bodies[#bodies + 1] = path, body
end
local at = 0
request = function()
  at = at %% #bodies + 1
  return wrk.format("POST", paths[at], {["Content-Type"] = "application/json"}, bodies[at])
end
"""

Body = tuple[str, bytes]
"""A path, and what is posted to it."""


@dataclass(slots=True)
class Asked:
    """What came of questions."""

    rate: float
    """Answers a second."""
    p50: float
    p99: float
    """Milliseconds."""
    failed: int = 0
    cpu: float = float("nan")
    """Milliseconds of CPU that the server spent for an answer."""
    kept: float = float("nan")
    """Share of the slates that were kept from before."""


@dataclass(slots=True)
class System:
    """A server and what it was asked."""

    server: Running
    bodies: Sequence[Body]
    asked: int = 0
    """How many of the bodies were sent; the next comes after them, so that none comes twice before all came."""
    steady: list[Asked] = field(default_factory=list)
    full: list[Asked] = field(default_factory=list)

    def coming(self) -> list[Body]:
        """Return the bodies, the next one first."""
        start = self.asked % len(self.bodies)
        return [*self.bodies[start:], *self.bodies[:start]]


async def at_rate(system: System, rate: float, seconds: float, seed: int) -> Asked:
    """Ask by chance at a rate, whether or not earlier questions are answered."""
    due = np.random.default_rng(seed).exponential(1 / rate, int(2 * rate * seconds)).cumsum()
    due = due[due < seconds]
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    took, failed, bodies = [], 0, system.coming()
    begun = time.perf_counter()

    async def ask(number: int) -> None:
        nonlocal failed
        await asyncio.sleep(begun + due[number] - time.perf_counter())
        streams = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", system.server.port)
        path, body = bodies[number % len(bodies)]
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        streams[1].write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await streams[0].readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", answer)
        await streams[0].readexactly(int(length[1]) if length else 0)
        took.append(1000 * (time.perf_counter() - begun - due[number]))
        failed += not answer.startswith(b"HTTP/1.1 200")
        idle.append(streams)

    before, known = _cpu(system.server), _caches(system.server)
    await asyncio.gather(*(ask(number) for number in range(len(due))))
    spent = _cpu(system.server) - before
    system.asked += len(due)
    for _, writer in idle:
        writer.close()
    p50, p99 = np.percentile(took, (50, 99))
    kept = _kept(known, _caches(system.server))
    return Asked(len(due) / seconds, float(p50), float(p99), failed, 1000 * spent / len(due), kept)


def saturated(system: System, seconds: float, connections: int, folder: Path) -> Asked:
    """Ask with `wrk`, over some connections as fast as answers come."""
    bodies, script = folder / "bodies.txt", folder / "ask.lua"
    bodies.write_bytes(b"\n".join(path.encode() + b" " + body for path, body in system.coming()))
    script.write_text(LUA % bodies, encoding="utf-8")
    before, known = _cpu(system.server), _caches(system.server)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "30s", "-s", str(script)]
    done = subprocess.run([*command, system.server.url], check=True, capture_output=True, text=True)
    spent = _cpu(system.server) - before
    told = {name: re.search(rf"{name}\s+([\d.]+)(us|ms|s|m)\b", done.stdout) for name in ("50%", "99%")}
    p50, p99 = (float(found[1]) * UNITS[found[2]] for found in told.values() if found)
    count = re.search(r"(\d+) requests in", done.stdout)
    failed = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", done.stdout)))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert count is not None
    assert rate is not None
    system.asked += int(count[1])
    answered = max(int(count[1]) - failed, 1)  # a refusal is an answer to wrk alone
    kept = _kept(known, _caches(system.server))
    return Asked(float(rate[1]) * answered / int(count[1]), p50, p99, failed, 1000 * spent / answered, kept)


UNITS = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "m": 60_000.0}


def _cpu(server: Running) -> float:
    """Return the seconds of CPU that a server and its workers have used."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if server.process in (int(stat.parent.name), int(fields[1])):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _caches(server: Running) -> Caches:
    """Return what a server had kept, and what it had not; nothing of one that is not ours."""
    return read_caches(httpx2.get(f"{server.url}/metrics", timeout=60).text)


def _kept(before: Caches, after: Caches) -> float:
    return hit_rates(after - before).get("slates", float("nan"))


def run(data: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure recommendations on ml-latest-small, beside implicit's."""
    dataset = read_data(data / "ml-latest-small")
    rng = np.random.default_rng(0)
    users = rng.choice(dataset.user_ids.ids.to_list(), QUESTIONS).tolist()
    items = rng.choice(dataset.item_ids.ids.to_list(), QUESTIONS).tolist()
    bodies = [("/recommend", json.dumps({"user": user, "k": 10}).encode()) for user in users]
    clicks = [
        ("/events", json.dumps({"kind": "click", "user": user, "item": item}).encode())
        for user, item in zip(reversed(users), items, strict=True)
    ]
    mixed = [*bodies]
    mixed[CLICKS - 1 :: CLICKS] = clicks[CLICKS - 1 :: CLICKS]
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name) / "ours", Path(name) / "theirs"
        ours.mkdir()
        theirs.mkdir()
        progress("fitting")
        http_peers.prepare_recommend(dataset, theirs)
        artifact = fitted(dataset, ours)
        servers = {
            "twofold": (artifact,),
            "twofold, users click": (artifact,),
            "twofold, all anew": (artifact, "--slates-mb", "0"),
        }
        peers = {"peer": "recommend", "peer, folding in": "recommend_anew", "peer, answers kept": "recommend_kept"}
        own = {"twofold, users click": mixed}
        rows = compared("recommend", servers, theirs, bodies, progress, own=own, peers=peers)
    about = {
        "questions": f"users by chance, of {len(dataset.users)}; the default recipe, with reasons",
        "twofold": "keeps slates while they are what would be answered anew, here always: users do nothing meanwhile",
        "twofold, users click": f"the same, but every {CLICKS}th request stores a click, so that a slate must change",
        "twofold, all anew": "no slate is kept",
        "peer": f"implicit ALS {http_peers.ALS} behind FastAPI, with the users' factors of the fit",
        "peer, folding in": "the same, the user's factors made anew each time: so a like changes the next answer",
        "peer, answers kept": "the first, each answer kept for ever: no like changes anything",
    }
    return {"protocol": PROTOCOL | about | {"load besides": others()}, "rows": rows}


PROTOCOL: dict[str, Any] = {
    "data": "ml-latest-small",
    "workers": 2,
    "at a rate": f"{RATE:g} a second for {RATE_SECONDS:g} s, by chance (Poisson); from when an answer was due",
    "saturated": f"wrk, {CONNECTIONS} connections, {SATURATED_SECONDS:g} s; on the same cores",
    "rounds": f"{ROUNDS}, in turn; medians, and the extremes",
    "CPU": "of all processes of a server, over its answers; refusals are none, but count in p50 and p99 at saturation",
}


def others() -> str:
    """Return how much else the machine did."""
    return f"{os.getloadavg()[2]:.1f} processes on average in the last 15 minutes"


def compared(
    what: str,
    ours: Mapping[str, Sequence[str | Path]],
    theirs: Path,
    bodies: Sequence[Body],
    progress: Callable[[str], None],
    *,
    own: Mapping[str, Sequence[Body]] = MappingProxyType({}),
    peers: Mapping[str, str] = MappingProxyType({}),
    connections: int = CONNECTIONS,
) -> list[dict[str, Any]]:
    """Measure ours and theirs in turn.

    Args:
        what: is compared.
        ours: the artifact and further options of `twofold serve` for each server of ours.
        theirs: what the peers serve.
        bodies: the questions, in turn.
        progress: told of each round.
        own: other questions, for some servers.
        peers: what of `http_peers` answers, for each server of theirs; by default what has the path's name.
        connections: at saturation.

    Raises:
        DataError: `wrk` is not installed.
    """
    if shutil.which("wrk") is None:
        raise DataError("wrk is not installed; on Debian: apt-get install wrk.")
    peers = peers or {"peer": what}
    with ExitStack() as stack:
        servers = {
            name: serving(
                Path(artifact), "--workers", "2", "--events", theirs / f"{name}.db", *more, log=theirs / f"{name}.log"
            )
            for name, (artifact, *more) in ours.items()
        }
        for name, peer in peers.items():
            command = [sys.executable, "-m", "benchmarks.http_peers", peer, str(theirs)]
            servers[name] = serving(theirs / "none", command=command, log=theirs / f"{peer}.log")
        systems = {
            f"{what}: {name}": System(stack.enter_context(server), own.get(name, bodies))
            for name, server in servers.items()
        }
        for system in systems.values():
            asyncio.run(at_rate(system, 20.0, 10.0, 0))  # the first answers are slow
        for number in range(ROUNDS):
            for name, system in systems.items():
                progress(f"{name}, round {number + 1}")
                system.steady.append(asyncio.run(at_rate(system, RATE, RATE_SECONDS, number)))
                system.full.append(saturated(system, SATURATED_SECONDS, connections, theirs))
                progress(f"{system.steady[-1]} {system.full[-1]}")
    rows = [row for name, system in systems.items() for row in _rows(name, system)]
    for name in ours:
        for peer in peers:
            full = [systems[f"{what}: {one}"].full for one in (name, peer)]
            ratio = [mine.rate / other.rate for mine, other in zip(*full, strict=True)]
            row = {"system": f"{what}: {name} / {peer}", "metric": "answers a second, saturated"}
            rows.append({**row, "value": median(ratio), "low": min(ratio), "high": max(ratio)})
    return rows


METRICS = {"rate": "answers a second", "p50": "p50 ms", "p99": "p99 ms", "cpu": "CPU ms", "kept": "slates kept"}


def _rows(name: str, system: System) -> Iterator[dict[str, Any]]:
    for kind, found in ((f"{RATE:g} a second", system.steady), ("saturated", system.full)):
        for metric, label in METRICS.items():
            values = [getattr(one, metric) for one in found]
            if np.isnan(values).any():  # who keeps nothing
                continue
            row = {"system": name, "metric": f"{label}, {kind}", "value": median(values)}
            yield {**row, "low": min(values), "high": max(values)}
        failed = float(sum(one.failed for one in found))
        yield {"system": name, "metric": f"refused, {kind}", "value": failed, "low": None, "high": None}
