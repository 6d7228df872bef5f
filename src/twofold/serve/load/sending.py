"""Open-loop sending: each question goes out when it is due, whether or not earlier ones were answered.

Latency is counted from when a question was due, not from when it was sent: a server, or a sender, that is stuck
does not hide those who would have asked meanwhile (Tene's "coordinated omission").
"""

import asyncio
import re
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import msgspec
import numpy as np

from twofold.core.errors import ConfigError
from twofold.serve.load.arrivals import Moments
from twofold.serve.load.questions import Question
from twofold.serve.wire import Problem

__all__ = ["CONNECTIONS", "Answers", "send"]

CONNECTIONS = 500
"""Connections at once; a question that finds none free waits, and that counts as latency."""
LEAD = 0.2
"""Seconds from the start to the beginning of the trace."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Slate(msgspec.Struct):
    rung: str | None = None


class _Served(msgspec.Struct):
    slate: _Slate


SERVED = msgspec.json.Decoder(_Served)
PROBLEM = msgspec.json.Decoder(Problem)


@dataclass(slots=True)
class Answers:
    """What became of questions, by their place; seconds are from the beginning of the trace."""

    due: Moments
    sent: Moments
    """NaN for one that was never sent."""
    answered: Moments
    """NaN for one that was not answered."""
    status: np.ndarray
    """Of HTTP; 0 for none."""
    rungs: list[str | None]
    problems: Counter[str] = field(default_factory=Counter)
    """What was said of questions that were not answered, by status; of each status the first words."""
    processor: float = 0.0
    """Seconds of a core that sending and reading took."""


class _Connection(asyncio.Protocol):
    """A connection that is kept and has one question at a time."""

    def __init__(self, done: Callable[["_Connection", int, int, bytes], None]) -> None:
        self._done, self._buffer, self._end, self._status = done, bytearray(), 0, 0
        self.place: int | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are of no class that asyncio knows

    def ask(self, place: int, request: bytes) -> None:
        assert self.transport is not None
        self.place = place
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._end:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = LENGTH.search(self._buffer, 0, head)
            self._status = int(self._buffer[9:12])
            self._end = head + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) >= self._end:
            body = bytes(self._buffer[self._buffer.find(b"\r\n\r\n") + 4 : self._end])
            self._buffer.clear()
            self._end = 0
            self._finish(self._status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._finish(0, b"")

    def _finish(self, status: int, body: bytes) -> None:
        place, self.place = self.place, None
        if place is not None:
            self._done(self, place, status, body)


class _Sender:
    """Sends questions over as many connections as are needed, and keeps what came back."""

    def __init__(self, url: str, key: str | None, questions: Sequence[Question], due: Moments) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is no address of a server; give one as http://127.0.0.1:8000.")
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        secret = f"Authorization: Bearer {key}\r\n" if key else ""
        head = f"Host: {parts.netloc}\r\n{secret}Content-Type: application/json\r\nContent-Length: "
        self._requests = [
            f"POST {parts.path.rstrip('/')}{question.path} HTTP/1.1\r\n{head}{len(question.body)}\r\n\r\n".encode()
            + question.body
            for question in questions
        ]
        nothing = np.full(len(due), np.nan)
        self.answers = Answers(due, nothing, nothing.copy(), np.zeros(len(due), np.int32), [None] * len(due))
        self._free: list[_Connection] = []
        self._waiting: deque[int] = deque()
        self._connections: list[_Connection] = []
        self._open, self._left = 0, len(due)
        self._opening: set[asyncio.Task[None]] = set()
        self._all = asyncio.Event()
        self._begin, self._over = 0.0, False

    async def run(self, patience: float) -> None:
        self._begin = time.monotonic() + LEAD
        spent = time.process_time()
        for place, due in enumerate(self.answers.due.tolist()):
            while (wait := self._begin + due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._send(place)
        if self._left:
            try:
                await asyncio.wait_for(self._all.wait(), patience)
            except TimeoutError:
                self.answers.problems["failed: no answer while it was waited for"] += self._left
            self._over = True
        self.answers.processor = time.process_time() - spent
        if self._opening:
            await asyncio.wait(self._opening)
        for connection in self._connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0.01)  # until the loop has let go of them

    def _send(self, place: int) -> None:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                self._ask(connection, place)
                return
            self._open -= 1
        self._waiting.append(place)
        self._open_another()

    def _open_another(self) -> None:
        if self._open < CONNECTIONS:
            self._open += 1
            task = asyncio.ensure_future(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._done), self._host, self._port, ssl=self._ssl
            )
        except OSError as error:
            self._open -= 1
            if self._waiting:
                self._note(self._waiting.popleft(), 0, f"no connection: {error.strerror or error}")
            return
        self._connections.append(connection)
        self._next(connection)

    def _next(self, connection: _Connection) -> None:
        if self._waiting:
            self._ask(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def _ask(self, connection: _Connection, place: int) -> None:
        self.answers.sent[place] = time.monotonic() - self._begin
        connection.ask(place, self._requests[place])

    def _done(self, connection: _Connection, place: int, status: int, body: bytes) -> None:
        if self._over:
            return
        answers, problem = self.answers, ""
        now = time.monotonic() - self._begin
        try:
            if status == 200:
                answers.rungs[place] = SERVED.decode(body).slate.rung
                answers.answered[place] = now
            else:
                problem = PROBLEM.decode(body).detail if status else "the connection was cut"
        except msgspec.MsgspecError:
            status, problem = 0, "an answer that is none of this version"
        self._note(place, status, problem)
        if connection.transport is not None and not connection.transport.is_closing():
            self._next(connection)
            return
        self._open -= 1
        if self._waiting:
            self._open_another()

    def _note(self, place: int, status: int, problem: str) -> None:
        self.answers.status[place] = status
        if problem:
            # Numbers differ from one to the next; what is told is the kind.
            self.answers.problems[f"{status or 'failed'}: {re.split(r'[;(]', problem)[0]}"] += 1
        self._left -= 1
        if not self._left:
            self._all.set()


def send(url: str, key: str | None, questions: Sequence[Question], due: Moments, *, patience: float) -> Answers:
    """Send questions when they are due, and return what became of them.

    Args:
        url: where the server is.
        key: an API key, where the server has any.
        questions: in the order in which they are due.
        due: when, in seconds from the beginning; rising.
        patience: seconds to wait for answers after the last question.

    Raises:
        ConfigError: the address is none.
    """

    async def run() -> Answers:
        sender = _Sender(url, key, questions, due)
        await sender.run(patience)
        return sender.answers

    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(run())


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415  where it is not installed, sending costs some more
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
