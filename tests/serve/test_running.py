"""Servers of several processes, started as people start them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx2
import pytest
from tests.serve.conftest import serving, until

from twofold.core import Artifact, Event, Pipeline
from twofold.core.errors import ConfigError
from twofold.core.threads import available_threads
from twofold.events import SqlStore
from twofold.serve import running
from twofold.serve.client import ApiError, Client
from twofold.serve.promotion import promote, rollback
from twofold.serve.settings import Settings

URL = re.compile(r"http://127\.0\.0\.1:\d+")


@contextmanager
def started(*arguments: str | Path) -> Iterator[str]:
    command = [
        sys.executable,
        "-c",
        "from twofold.cli import main; main()",
        "serve",
        *map(str, arguments),
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "300"})
    try:
        assert process.stdout is not None
        found = URL.search(process.stdout.readline())
        assert found
        yield found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert process.stdout is not None
        process.stdout.close()


@dataclass(frozen=True)
class Pair:
    """A server of two workers, the link that it follows, and another artifact."""

    url: str
    link: Path
    other: Path

    def ask(self) -> tuple[int, str]:
        """Return the worker that answers a fresh connection, and its artifact."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            connection.request("GET", "/health")
            health = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return health["process"], health["artifact"]

    def both(self) -> set[int]:
        """Return the workers."""
        found: set[int] = set()
        assert until(lambda: bool(found.add(self.ask()[0])) or len(found) == 2, 2_000)
        return found


THREADS = 6


@dataclass
class Load:
    """What came of the requests of some threads."""

    user: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Who does what is recorded."""
    workers: list[int] = field(default_factory=list)
    """The worker that each thread's first connection leads to."""
    answered: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    failures: list[ApiError] = field(default_factory=list)
    broken: int = 0


@contextmanager
def loaded(pair: Pair, *, retry: bool) -> Iterator[Load]:
    """Ask and report in several threads, as fast as the server answers, until the block ends."""
    load, stop = Load(), threading.Event()

    class Counting(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            try:
                return super().handle_request(request)
            except httpx2.TransportError:
                load.broken += 1
                raise

    def ask(number: int) -> None:
        # A busy machine may not answer in two seconds, and says so; that is tested elsewhere.
        with Client(pair.url, timeout=60, deadline_ms=60_000, retry=retry, transport=Counting()) as client:
            load.workers.append(client.health().process)
            while not stop.is_set():
                try:
                    slate = client.recommend(f"user {number}")
                    load.answered.append(slate.id)
                    event = Event(kind="impression", item=slate.items[0], user=load.user, slate=slate.id)
                    load.recorded += client.record(event)
                    client.search("a", k=3)
                except ApiError as error:
                    load.failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def pair(artifact: Path, fitted: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    fitted.save(folder / "other", description={"note": "another"})
    promote(artifact, folder / "current")
    with started(folder / "current", "--workers", "2", "--events", folder / "events.db") as url:
        yield Pair(url, folder / "current", folder / "other")


def test_what_one_worker_is_told_all_know(pair: Pair) -> None:
    workers = pair.both()
    with Client(pair.url) as client:
        first = client.recommend("ann").items[0]
        client.record(Event(kind="click", item=first, user="ann"))
        client.put_item("fresh", {"title": "Zyzzyva"})
    learned: set[int] = set()

    def all_know() -> bool:
        with Client(pair.url) as client:  # one connection stays with one worker
            if first not in client.recommend("ann").items and client.search("zyzzyva").items == ["fresh"]:
                learned.add(client.health().process)
        return learned == workers

    assert until(all_know, 2_000)


def test_artifacts_are_changed_and_changed_back_without_a_failed_request(pair: Pair) -> None:
    workers = pair.both()

    def all_answer_with(artifact: Artifact) -> bool:
        found: dict[int, str] = {}
        expected = dict.fromkeys(workers, artifact.manifest["sha256"][:12])
        return until(lambda: found.update([pair.ask()]) or found == expected, 2_000)

    with loaded(pair, retry=False) as load:
        assert all_answer_with(promote(pair.other, pair.link))
        assert all_answer_with(rollback(pair.link))
    assert load.failures == []
    assert len(load.answered) > 2 * THREADS
    with Client(pair.url) as client:
        assert client.search("zyzzyva").items == ["fresh"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has loaded is read from /proc")
def test_a_server_needs_no_torch(pair: Pair) -> None:
    loaded = Path(f"/proc/{pair.ask()[0]}/maps").read_text()
    assert "numpy" in loaded
    assert "torch" not in loaded


def test_a_worker_that_is_killed_under_load_fails_no_request_and_is_replaced(pair: Pair) -> None:
    before = pair.both()

    def replaced(worker: int) -> bool:
        with suppress(OSError, HTTPException):
            return pair.ask()[0] not in {worker, *before}
        return False

    with loaded(pair, retry=True) as load:
        assert until(lambda: len(load.workers) == THREADS)
        killed = Counter(load.workers).most_common(1)[0][0]  # one that somebody is asking just now
        os.kill(killed, signal.SIGKILL)
        assert until(lambda: replaced(killed), 5_000)
        done = len(load.answered)
        assert until(lambda: len(load.answered) > done + THREADS)
    assert load.failures == []
    assert load.broken > 0  # without a second try there would have been failures
    store = SqlStore(pair.link.parent / "events.db")
    kept = Counter(stored.event.id for stored in store.of_user(load.user, limit=1_000_000))
    store.close()
    assert kept == Counter(load.recorded)  # what was acknowledged is there, and once


def test_an_artifact_that_cannot_be_opened_changes_nothing(artifact: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    shutil.copytree(artifact, served)
    settings = Settings(artifact=tmp_path / "link", events=tmp_path / "events.db")
    settings.artifact.symlink_to(served)
    damaged = tmp_path / "damaged"
    shutil.copytree(artifact, damaged)
    (damaged / "manifest.json").write_text("{}")
    with serving(settings) as url, Client(url) as client:
        name = client.health().artifact
        (tmp_path / "new").symlink_to(damaged)
        (tmp_path / "new").rename(settings.artifact)
        assert until(lambda: client.health().trouble is not None, 3_000)
        assert "refused" in str(client.health().trouble)
        assert client.health().artifact == name
        assert len(client.trending()) == 10


def test_a_connection_that_never_finishes_its_request_is_cut(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "HEAD_SECONDS", 0.2)
    with serving(replace(settings, body_seconds=0.2), http=running.Guarded) as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(place, timeout=60) as slow:
            slow.sendall(b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            assert slow.recv(1) == b""
        with socket.create_connection(place, timeout=60) as slow:
            slow.sendall(
                b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert slow.makefile("rb").readline().startswith(b"HTTP/1.1 408")
        with Client(url) as client:
            for _ in range(2):  # a connection that is kept is not cut
                assert len(client.trending()) == 10


def test_a_head_without_end_is_cut(settings: Settings) -> None:
    with serving(settings, http=running.Guarded) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as endless:
            endless.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
            answer = b""
            with suppress(ConnectionError):  # it may be reset while this end is still sending
                for _ in range(4_000):
                    endless.sendall(b"x" * 1_000)
                answer = endless.recv(1_000)
                assert answer.startswith(b"HTTP/1.1 400")
        with Client(url) as client:
            assert client.health().status == "ok"


def test_a_caller_that_never_reads_is_cut(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "UNREAD_SECONDS", 0.2)
    with serving(settings, http=running.Guarded) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.settimeout(0.1)
            asked = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100

            def cut() -> bool:
                try:
                    deaf.sendall(asked)
                except TimeoutError:
                    return False
                except ConnectionError:
                    return True
                return False

            assert until(cut, 5_000)
        with Client(url) as client:
            assert client.health().status == "ok"


def test_without_keys_only_this_machine_is_let_in(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="twofold keys add"):
        Settings(artifact=artifact, events=tmp_path / "events.db", host="0.0.0.0")
    with pytest.raises(ConfigError, match="without \\*"):
        Settings(artifact=artifact, events=tmp_path / "events.db", origins=("*",))


def test_a_port_in_use_is_told_in_a_sentence(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="give another --port"):
            running.run_server(replace(settings, port=port), print)


@pytest.mark.skipif(available_threads() < 2, reason="on one core, one more worker is of no use")
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="what workers want is read from there")
def test_under_load_one_more_worker_answers(artifact: Path, tmp_path: Path) -> None:
    """`Scaling` has tests of its own; here a worker really comes."""
    body = b'{"k": 50}'
    head = (
        f"POST /trending HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    stop, events = threading.Event(), tmp_path / "events.db"

    def ask(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as asking:
            answers = asking.makefile("rb")
            while not stop.is_set():
                asking.sendall(head.encode() + body)
                length = next(int(line.split()[1]) for line in answers if line.lower().startswith(b"content-length"))
                while answers.readline().strip():
                    pass
                answers.read(length)

    with started(artifact, "--workers", "1", "--max-workers", "2", "--events", events) as url, Client(url) as client:
        first = client.health().process
        port = int(url.rpartition(":")[2])
        threads = [threading.Thread(target=ask, args=(port,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        try:
            assert until(lambda: health_elsewhere(url, first), 9_000)
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def health_elsewhere(url: str, first: int) -> bool:
    """Ask over a connection of its own, which any worker may take."""
    with Client(url) as client:
        return client.health().process != first


def test_products_are_done_by_one_thread(artifact: Path, tmp_path: Path) -> None:
    """More of them wait for each other on the cores of other workers: a request then took three times the processor."""
    program = (
        "import sys; from pathlib import Path; from threadpoolctl import threadpool_info\n"
        "from twofold.serve.server import Server; from twofold.serve.settings import Settings\n"
        "Server(Settings(artifact=Path(sys.argv[1]), events=Path(sys.argv[2])))\n"
        "print({pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'})\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, artifact, tmp_path / "events.db"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
    )
    assert told.stdout.strip() == "{1}"
