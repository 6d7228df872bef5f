"""Callers that hang up, at the level of ASGI."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from tests.serve.conftest import Caller

from twofold.core import Query


def scope_of(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }


def test_work_whose_caller_hung_up_is_dropped_before_it_runs(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, answered, pipeline = threading.Event(), list[str](), call.server.live.pipeline
    run_many = pipeline.run_many

    def held(queries: Sequence[Query], **more: Any) -> Any:
        gate.wait(30)
        answered.extend(query.text or "" for query in queries)
        return run_many(queries, **more)

    monkeypatch.setattr(pipeline, "run_many", held)

    async def ask(text: str, hangs_up: asyncio.Event) -> list[dict[str, Any]]:
        body, sent = b'{"text": "%s"}' % text.encode(), list[dict[str, Any]]()

        async def receive() -> dict[str, Any]:
            nonlocal body
            if body:
                told, body = body, b""
                return {"type": "http.request", "body": told, "more_body": False}
            await hangs_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await call.app(scope_of("/search"), receive, send)
        return sent

    async def play() -> None:
        stays, goes = asyncio.Event(), asyncio.Event()
        first = asyncio.ensure_future(ask("first", stays))
        while not call.server.questions.busy:
            await asyncio.sleep(0)
        gone, last = asyncio.ensure_future(ask("gone", goes)), asyncio.ensure_future(ask("last", stays))
        while len(call.server.questions) < 2:
            await asyncio.sleep(0)
        goes.set()
        assert (await gone)[0]["status"] == 499  # which nobody reads
        gate.set()
        assert [(await one)[0]["status"] for one in (first, last)] == [200, 200]

    call._loop.run_until_complete(play())
    assert answered == ["first", "last"]
    assert "twofold_questions_dropped_total 1.0" in call("GET", "/metrics").text
