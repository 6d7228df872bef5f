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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from tests.serve.conftest import serving, until

from twofold.core import Artifact, Event, Pipeline
from twofold.core.errors import ConfigError
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
    workers, failures, answered = pair.both(), list[Exception](), list[str]()
    stop = threading.Event()

    def load() -> None:
        with Client(pair.url, timeout=60) as client:
            while not stop.is_set():
                try:
                    answered.append(client.recommend("ann").id)
                except ApiError as error:
                    failures.append(error)

    def all_answer_with(artifact: Artifact) -> bool:
        found: dict[int, str] = {}
        expected = dict.fromkeys(workers, artifact.manifest["sha256"][:12])
        return until(lambda: found.update([pair.ask()]) or found == expected, 2_000)

    loader = threading.Thread(target=load)
    loader.start()
    try:
        assert all_answer_with(promote(pair.other, pair.link))
        assert all_answer_with(rollback(pair.link))
    finally:
        stop.set()
        loader.join()
    assert failures == []
    assert answered
    with Client(pair.url) as client:
        assert client.search("zyzzyva").items == ["fresh"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has loaded is read from /proc")
def test_a_server_needs_no_torch(pair: Pair) -> None:
    loaded = Path(f"/proc/{pair.ask()[0]}/maps").read_text()
    assert "numpy" in loaded
    assert "torch" not in loaded


def test_a_worker_that_dies_is_replaced(pair: Pair) -> None:
    before = pair.both()
    os.kill(min(before), signal.SIGKILL)

    def replaced() -> bool:
        with suppress(OSError, HTTPException):
            return pair.ask()[0] not in before
        return False

    assert until(replaced, 5_000)


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
