"""Whatever is thrown at a server: it never fails, tells nothing of its inside, and goes on.

Requests are bytes, written by one who knows the API and means ill: bodies that are nearly right or not at all, heads,
paths, query strings and methods that no client sends. Each is sent to a real server, and its answer is read.
"""

import asyncio
import gzip
import json
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from benchmarks.server import Running, fitted, serving
from twofold.data import Simulation, simulate
from twofold.serve.client import Client
from twofold.serve.operations import OPERATIONS, Operation

__all__ = ["Hostile", "Report", "assail", "run"]

COUNT = int(os.environ.get("TWOFOLD_HOSTILE_REQUESTS", "100000"))
CONNECTIONS = 8
SECONDS = 60.0
"""Longest wait for an answer."""
CUT = 0.3
CUT_SHORT = ("no HTTP", "framing")
"""What may have no end; a server that waits for it is right, and its answer is waited for no longer than `CUT`."""
SEED = 5
LEAKS = re.compile(rb'Traceback|File "|site-packages|\.py\b|sqlite|RuntimeError|Exception|pyo3|panicked|0x[0-9a-f]{8}')
WORDS = [
    "", "a", "item", "user", "title", "min", "max", "'; DROP TABLE events; --", "../../etc/passwd", "\x00", "{{7*7}}",
    "$(id)", "<script>alert(1)</script>", "a" * 300, "\ud800", "\U0010ffff", "墨子", 'title:"x" AND (', "* OR *",
    "\u202e", "🏳️‍🌈" * 20,
    "%00", "-1", "9" * 30, "nan", "Infinity", "null", "title:[* TO *]", "a~99", "\\", "(" * 200, "é" * 199,
    "\r\nX: y", "__proto__", "${jndi:ldap://x}", "a\tb", "ｆｕｌｌ", "ﷺ" * 60, "i\u0307", "\u200d" * 9,
    "0", "1e309", "-0", "🏳️\u200d🌈" * 20,
]  # fmt: skip
NUMBERS = [
    "0", "-0", "-1", "1", "2", "100", "101", "0.1", "1e308", "1e309", "-1e309", "1e-400", "NaN", "Infinity",
    "-Infinity",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "01", "+1", "1.", ".5",
    "0x1",
    "8640000000000000", "1" * 20_000,
]  # fmt: skip
METHODS = ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PUT", "DELETE", "GET", "POST", "get", "FOO", "PROPFIND"]
PATHS = [
    "/", "//", "/..", "/../..//etc/passwd", "/items", "/items/", "/items//", "/items/%2e%2e/health", "/items/%00",
    "/items/%ff%fe", "/items/a/b/c?d#e", "/users/%F0%9F%98%80", "/health/", "/HEALTH", "/docs/../metrics", "/metrics",
    "/openapi.json", "/docs", "/.env", "/ladder", "/experiments", "/ready", "*", "http://evil.example/health",
    "/items/" + "x" * 5_000,
    "/%", "/%zz", "/items/%25%32%65", "/\\..\\windows", "/items/;a=b", "/suggest", "evil.example:80", "/items/..;/",
]  # fmt: skip
HEADS = [
    "Host: evil.example", "Host: 127.0.0.1:99999999", "Host: [::1", "Host:", "Host: 127.0.0.1, evil",
    "Content-Length: -1",
    "Content-Length: 1e3", "Content-Length: " + "9" * 40, "Content-Length: 5\r\nContent-Length: 6",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: xchunked", "Transfer-Encoding: gzip, chunked", "Expect: 100-continue", "Expect: x",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x",
    "Authorization: Bearer " + "x" * 9_000, "Authorization: Basic !!!",
    "X-API-Key: \xff\xfe", "Cookie: " + "a=b; " * 900, "Range: bytes=0-1,5-", "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Accept: \x01", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: evil", "Origin: null", "Connection: close",
    "Connection: keep-alive, , x",
    "Content-Type: application/json; charset=utf-7", "Content-Type: text/html", "Content-Type:",
    "Content-Type: APPLICATION/JSON;;;", "\x00: y", " folded: x",
    "A" * 9_000 + ": x", "no colon", "Keep-Alive: timeout=99999", "TE: trailers", "Trailer: X",
    "Sec-Fetch-Site: cross-site",
]  # fmt: skip
GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /health\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"GET /health HTTP/9.9\r\n\r\n", b"GET /health HTTP/1.1\nHost: 127.0.0.1\n\n", b"POST /search HTTP/1.0\r\n\r\n",
    b"\x00" * 64,
    b"GET  /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
]  # fmt: skip


class Hostile:
    """Writes requests.

    Args:
        seed: of everything random.
        known: ids of items and users that exist, so that some requests get far.
    """

    def __init__(self, seed: int, known: list[str]) -> None:
        self._random, self._known = Random(seed), known  # noqa: S311  nothing is hidden by it

    def request(self) -> tuple[str, bytes]:
        """Return what kind of request it is, and its bytes."""
        draw = self._random.random()
        if draw < 0.02:
            return "no HTTP", self._garbage()
        operation = self._random.choice(OPERATIONS)
        if draw < 0.07:
            return "method", self._written(self._random.choice(METHODS), self._path(operation), self._body(operation))
        if draw < 0.14:
            return "path", self._written(operation.method, self._random.choice(PATHS), b"{}")
        if draw < 0.24:
            odd = self._random.choices(HEADS, k=self._random.choice((1, 1, 2, 40)))
            framed = any(head.lower().startswith(("content-length", "transfer", "expect", "no colon")) for head in odd)
            written = self._written(operation.method, self._path(operation), self._body(operation), odd)
            return "framing" if framed else "head", written
        if draw < 0.36:
            return "bytes", self._written("POST", "/search", self._mangled(operation))
        return "body", self._written(operation.method, self._path(operation), self._body(operation))

    def _written(self, method: str, path: str, body: bytes, heads: list[str] | tuple[str, ...] = ()) -> bytes:
        lines = [f"{method} {path} HTTP/1.1"]
        named = {head.partition(":")[0].lower() for head in heads}
        usual = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
        if "transfer-encoding" in named and self._random.random() < 0.5:
            del usual["content-length"]
            body = self._random.choice(
                (b'5\r\n{"k":\r\n2\r\n1}\r\n0\r\n\r\n', b"zz\r\n", b"ffffffffffffffff\r\n{}", b"0\r\n\r\n")
            )
        lines += [f"{name}: {value}" for name, value in usual.items() if name not in named]
        return "\r\n".join([*lines, *heads, "", ""]).encode("latin-1", "replace") + body

    def _path(self, operation: Operation) -> str:
        id_ = quote(self._id().encode(errors="replace"), safe="")
        path = operation.path.replace("{id}", id_).replace("{name}", id_)
        if (operation.method == "GET" and operation.asks) or self._random.random() < 0.05:
            path += "?" + self._query(getattr(operation.asks, "__struct_fields__", ()))
        return path

    def _query(self, names: tuple[str, ...]) -> str:
        pairs = []
        for _ in range(self._random.choice((1, 1, 2, 3, 200))):
            name = self._random.choice((*names, *names, *names, *WORDS))
            value = self._random.choice((*WORDS, *NUMBERS[:12]))
            told = [quote(part.encode(errors="replace")) for part in (name, value)]
            pairs.append(self._random.choice(("{}={}", "{}={}", "{}={}", "{}[]={}", "{}", "&&{}==%zz{}")).format(*told))
        return self._random.choice(("&", "&", ";")).join(pairs)

    def _id(self) -> str:
        return self._random.choice(WORDS) if self._random.random() < 0.6 else self._random.choice(self._known)

    def _garbage(self) -> bytes:
        some = self._random.choice(GARBAGE)
        return some if self._random.random() < 0.7 else self._random.randbytes(self._random.choice((1, 20, 400)))

    def _mangled(self, operation: Operation) -> bytes:
        """Return bytes that are no JSON, or only just."""
        good = self._body(operation)
        deep = self._random.choice((10, 1_000, 90_000))
        return self._random.choice(
            (
                lambda: good[: self._random.randrange(len(good) + 1)],
                lambda: b"\xef\xbb\xbf" + good,
                lambda: good.decode("utf-8", "replace").encode("utf-16"),
                lambda: gzip.compress(b"0" * 1_000_000),
                lambda: b"[" * deep + b"]" * self._random.choice((0, deep)),
                lambda: b'{"filters":' * deep + b"1" + b"}" * deep,
                lambda: b'{"text":"\xff\xfe\xc0\xaf"}',
                lambda: b'{"text":"' + b"a" * self._random.choice((1_000, 1_001, 100_000)) + b'"}',
                lambda: b'{"text":"a","text":"b"}',
                lambda: b'{"text":"\\ud800"}',
                lambda: b'{"text":"\\u0000","k":1}',
                lambda: b"{" + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}",
                lambda: b'{"text":"a","k":' + self._random.choice(NUMBERS).encode() + b"}",
                lambda: b" " * self._random.choice((10, 100_000)) + good,
                lambda: self._random.randbytes(50),
                lambda: b"",
                lambda: b"null",
                lambda: b"x" * 2_100_000 if self._random.random() < 0.02 else b"1",
            )
        )()

    def _body(self, operation: Operation) -> bytes:
        """Return a body that is near to what an operation takes."""
        names = getattr(operation.asks, "__struct_fields__", ("text",))
        kept = [name for name in names if self._random.random() < 0.6]
        if "kind" in names:
            kept = list({*kept, "kind", "item"})
        if "text" in names and "user" in names and self._random.random() < 0.7:
            kept = list({*kept, "text"})
        if self._random.random() < 0.1:
            kept.append(self._random.choice(WORDS))
        told = ",".join(f"{json.dumps(name)}:{self._value(name)}" for name in kept)
        return ("{" + told + "}").encode("utf-8", "surrogatepass" if self._random.random() < 0.5 else "replace")

    def _value(self, name: str) -> str:
        """Return JSON for a field: mostly of its type, with values that nobody sends."""
        plain: dict[str, Callable[[], str]] = {
            "k": lambda: str(self._random.randint(1, 100)),
            "text": self._text,
            "user": lambda: json.dumps(self._id()),
            "item": lambda: json.dumps(self._id()),
            "kind": lambda: json.dumps(
                self._random.choice(("click", "rating", "purchase", "dislike", "impression", "item"))
            ),
            "value": lambda: self._random.choice(NUMBERS),
            "timestamp": lambda: self._random.choice((*NUMBERS, str(time.time_ns() // 1_000_000))),
            "repeat": lambda: self._random.choice(("true", "false")),
            "available": lambda: self._random.choice(("true", "false")),
            "priority": lambda: json.dumps(self._random.choice(("interactive", "standard", "batch", "x"))),
            "deadline_ms": lambda: self._random.choice(("1", "1000", "600000", "0", "1e-9", "1e400")),
            "history": self._ids,
            "items": self._ids,
            "exclude": self._ids,
            "filters": lambda: self._object(("title", "text", "categories", "year", "price", "item", "nope")),
            "attributes": lambda: self._object(("title", "text", "categories", "year", "price", "item", "nope")),
            "events": lambda: "[" + ",".join(self._event() for _ in range(self._random.randint(0, 4))) + "]",
        }
        return plain[name]() if name in plain and self._random.random() < 0.8 else self._json(3)

    def _event(self) -> str:
        return "{" + ",".join(f'"{name}":{self._value(name)}' for name in ("kind", "item", "user", "value")) + "}"

    def _text(self) -> str:
        words = self._random.choices(WORDS, k=self._random.choice((1, 1, 2, 5)))
        return json.dumps(
            self._random.choice((" ", "", '"', " AND ")).join(words), ensure_ascii=self._random.random() < 0.8
        )

    def _ids(self) -> str:
        count = self._random.choice((0, 1, 2, 5, 100, 1_001))
        return json.dumps([self._random.choice(self._known) if count > 5 else self._id() for _ in range(count)])

    def _object(self, names: tuple[str, ...]) -> str:
        chosen = self._random.sample(names, self._random.choice((0, 1, 1, 2, 4)))
        return "{" + ",".join(f'"{name}":{self._json(2)}' for name in chosen) + "}"

    def _json(self, depth: int) -> str:
        draw = self._random.random()
        if depth == 0 or draw < 0.6:
            return self._random.choice((self._random.choice(NUMBERS), self._text(), "null", "true", "1990", '"Odd"'))
        inner = [self._json(depth - 1) for _ in range(self._random.randint(0, 3))]
        if draw < 0.8:
            return "[" + ",".join(inner) + "]"
        names = [json.dumps(self._random.choice(("min", "max", *WORDS))) for _ in inner]
        return "{" + ",".join(f"{name}:{value}" for name, value in zip(names, inner, strict=True)) + "}"


@dataclass(slots=True)
class Report:
    """What the answers were."""

    statuses: Counter[int] = field(default_factory=Counter)
    """By status; 0 where the connection was closed without an answer."""
    kinds: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Requests with a 5xx, and their answers."""
    leaked: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Requests whose answer tells something of the inside, or does not say in a sentence what is wrong."""
    silent: list[bytes] = field(default_factory=list)
    """Requests that got no answer in time."""


async def assail(server: Running, hostile: Hostile, count: int, progress: Callable[[int], None]) -> Report:
    """Send so many requests over some connections, and read what comes."""
    report, left = Report(), iter(range(count))

    async def one() -> None:
        connection = Connection(server.port)
        for number in left:
            if number % 5_000 == 0:
                progress(number)
            kind, sent = hostile.request()
            report.kinds[kind] += 1
            status, told = await connection.exchange(sent, CUT if kind in CUT_SHORT else SECONDS)
            report.statuses[status] += 1
            if status >= 500:
                report.failed.append((sent, told))
            if status == 0 and kind not in CUT_SHORT:
                report.silent.append(sent)
            if LEAKS.search(told) or (status >= 400 and b"problem+json" in told and not _sentence(told)):
                report.leaked.append((sent, told))
            if kind != "body":
                connection.close()
        connection.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return report


class Connection:
    """A connection that is made anew where it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, sent: bytes, patience: float) -> tuple[int, bytes]:
        """Send bytes, and return the status and all of the answer; 0 where none came."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        told = b""
        try:
            async with asyncio.timeout(patience):
                writer.write(sent)
                with suppress(ConnectionError):  # refused early; the answer may be there all the same
                    await writer.drain()
                told = head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if length and not sent.startswith(b"HEAD "):
                    told += await reader.readexactly(int(length[1]))
                if b"connection: close" in head.lower():
                    self.close()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            self.close()
        return (int(told[9:12]) if told.startswith(b"HTTP/1.1 ") else 0), told

    def close(self) -> None:
        """Close it; the next exchange opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _sentence(told: bytes) -> bool:
    """Return whether a problem says in a sentence what is wrong."""
    try:
        detail = json.loads(told.partition(b"\r\n\r\n")[2] or b'{"detail": "."}')["detail"]
    except (ValueError, KeyError):
        return False
    return isinstance(detail, str) and detail.rstrip().endswith((".", "!", "?"))


def run(_: object, progress: Callable[[str], None]) -> dict[str, Any]:
    """Assail a server of one worker over a small artifact."""
    dataset = simulate(Simulation(users=40, items=60, events=900, seed=7))[0]
    known = [str(id_) for ids in (dataset.item_ids.ids, dataset.user_ids.ids) for id_ in ids[:10]]
    with tempfile.TemporaryDirectory() as folder, serving(fitted(dataset, Path(folder))) as server:
        with Client(server.url, timeout=120) as client:
            before, begun = client.health(), time.perf_counter()
            report = asyncio.run(
                assail(server, Hostile(SEED, known), COUNT, lambda number: progress(f"{number:,} of {COUNT:,}"))
            )
            seconds, after = time.perf_counter() - begun, client.health()
        log = server.log.read_text(errors="replace")
    for sent, told in (report.failed + report.leaked)[:10]:
        progress(f"{sent[:300]!r} -> {told[-600:]!r}")
    for sent in report.silent[:10]:
        progress(f"{sent[:300]!r} -> nothing")
    found = {
        "requests": sum(report.statuses.values()),
        "answers of 5xx": len(report.failed),
        "answers that tell of the inside": len(report.leaked),
        "requests without an answer in time": len(report.silent),
        "traces in the log": log.count("Traceback"),
        "restarts": int(before.process != after.process),
        "troubles": int(after.trouble is not None),
        "seconds": seconds,
        **{f"status {status}" if status else "closed": count for status, count in sorted(report.statuses.items())},
    }
    return {
        "protocol": {"seed": SEED, "connections": CONNECTIONS, "kinds": dict(report.kinds), "workers": 1},
        "rows": [
            {"system": "twofold serve", "metric": name, "value": float(value), "low": None, "high": None}
            for name, value in found.items()
        ],
    }
