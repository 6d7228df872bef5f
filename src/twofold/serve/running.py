"""`run_server`: binds the port, and runs the workers until a signal ends them."""

import asyncio
import gc
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from twofold.core.errors import ConfigError
from twofold.serve.app import create_app
from twofold.serve.metrics import MANY, tell_count
from twofold.serve.scaling import Scaling, wanted_seconds
from twofold.serve.server import check
from twofold.serve.settings import Settings

__all__ = ["Guarded", "run_server"]

log = logging.getLogger("twofold.serve")

HEAD_SECONDS = 10.0
"""How long the head of a request may take to arrive; a connection that says nothing is cut after it."""
HEAD_BYTES = 65_536
UNREAD_SECONDS = 30.0
"""How long a caller may leave an answer unread."""
IDLE_SECONDS = 30
GRACE_SECONDS = 20
HUNG_SECONDS = 60
"""How long a worker may say nothing before it is taken for hung; one that starts on a busy machine needs some of it."""


def run_server(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve an artifact until a signal says to stop.

    Args:
        settings: how the server runs.
        announce: told the address once the port is bound.

    Raises:
        ArtifactError: the artifact is missing.
        ConfigError: the port cannot be bound, or the keys cannot be read.
        StoreError: the event store cannot be opened.
    """
    check(settings)
    bound = _bind(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    announce(f"http://{host}:{bound.getsockname()[1]}")
    config = uvicorn.Config(
        partial(_application, settings),
        factory=True,
        http=Guarded,
        ws="none",
        lifespan="on",
        workers=settings.workers,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=HUNG_SECONDS,
    )
    if settings.most_workers == 1:
        uvicorn.Server(config).run(sockets=[bound])
        return
    with tempfile.TemporaryDirectory(prefix="twofold-metrics-") as folder:
        os.environ[MANY] = folder
        tell_count(settings.workers)
        Supervisor(config, [bound], Scaling(settings.workers, settings.most_workers)).run()


def _application(settings: Settings) -> Starlette:
    """Make a worker's application.

    The modules that are loaded by now stay. Python's collector of garbage would look through them again and again, and
    nothing is answered in these 30 milliseconds.
    """
    gc.collect()
    gc.freeze()
    return create_app(settings)


class Supervisor(Multiprocess):
    """Replaces workers that died or hang, begins further ones under load, and ends them when it is calm.

    Args:
        config: of each worker.
        sockets: what they listen on.
        scaling: says how many there are.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], scaling: Scaling) -> None:
        super().__init__(config, sockets)
        self._scaling, self._ending = scaling, list[Process]()
        self._looked, self._spent = time.monotonic(), dict[int, float]()

    def keep_subprocess_alive(self) -> None:
        """Look at each worker; one that dies while it is asked is known at once by the end of its pipe."""
        for process in self.processes:
            process.child_conn.close()  # the worker has its own; as long as this one is open there is no end
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for dead in before - {process.pid for process in self.processes}:
            mark_process_dead(dead)  # type: ignore[no-untyped-call]  # else what waited in it would wait for ever
        if not self.should_exit.is_set():
            self._scale()

    def join_all(self) -> None:
        """Wait for all workers, those that were told to end before, too."""
        self.processes += self._ending
        super().join_all()

    def _scale(self) -> None:
        """Begin a worker, or end the newest, which answers first what it has been asked."""
        for process in [process for process in self._ending if not process.process.is_alive()]:
            process.join()
            mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            self._ending.remove(process)
        now, spent = time.monotonic(), {process.pid: wanted_seconds(process.pid or 0) for process in self.processes}
        busy = sum(used - self._spent[worker] for worker, used in spent.items() if worker in self._spent)
        change = self._scaling.change(len(self.processes), busy / max(now - self._looked, 1e-3), now)
        self._looked, self._spent = now, {worker: used for worker, used in spent.items() if worker is not None}
        if change > 0:
            process = Process(self.config, self.sockets)
            process.start()
            self.processes.append(process)
        elif change < 0:
            process = self.processes.pop()
            process.terminate()
            self._ending.append(process)
        if change:
            tell_count(len(self.processes))
            log.info("%d workers answer from now on", len(self.processes))


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        bound = socket.create_server((settings.host, settings.port), family=family, backlog=2_048)
    except OSError as error:
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}); give another --port."
        ) from None
    bound.set_inheritable(True)
    return bound


class Guarded(HttpToolsProtocol):
    """HTTP whose requests must come with heads of some size in time, and whose answers must be read."""

    _cut: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head: int | None = None
    """Bytes of a head that has begun and has not ended."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the head of a request."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Read on; a request that has begun must come to the end of its head."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._head_came()
        elif self._cut is None and (before is None or before.response_complete):
            self._await_head()
        if self._head is not None and not self.transport.is_closing():
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Begin to count the bytes of a head."""
        super().on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        """Count no more."""
        self._head = None
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Begin to wait for an answer to be read, where it does not fit into the buffers of the system."""
        if self._unread is None and self.transport.get_write_buffer_size():
            self._unread = self.loop.call_later(UNREAD_SECONDS, self._drop_unread)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._head_came()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._cut = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_came(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def _drop_unread(self) -> None:
        self._unread = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()
