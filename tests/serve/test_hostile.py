"""Whatever is thrown at the API, it answers with sense: never a 5xx, never a trace of itself."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from benchmarks.hostile import Hostile, assail
from benchmarks.server import Running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.conftest import Caller, serving

from twofold.core import Pipeline
from twofold.serve.client import Client
from twofold.serve.operations import OPERATIONS, Operation
from twofold.serve.running import Guarded
from twofold.serve.settings import Settings

HOSTILE = st.sampled_from(
    ["", "'; DROP TABLE events; --", "../../etc/passwd", "\x00", "{{7*7}}", "$(id)", "<script>", "a" * 300, "\ud800",
     "墨", 'title:"x" AND (', "* OR *", "\u202e", "%00", "-1", "9" * 30, "nan", "item", "title", "min"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63), 10**400, 0, -1])
    | st.floats()
    | st.text(max_size=6)
    | HOSTILE
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | HOSTILE, inner, max_size=4),
)
FILTERS = st.dictionaries(
    st.sampled_from(["title", "text", "categories", "year", "price", "item", "nope"]),
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.sampled_from(["min", "max", "x"]), SCALARS, max_size=2),
    max_size=2,
)
PLAIN = {
    "k": st.integers(1, 100) | SCALARS,
    "text": st.text(max_size=20) | HOSTILE,
    "filters": FILTERS,
    "user": SCALARS,
    "history": st.lists(SCALARS, max_size=3),
    "items": st.lists(HOSTILE | st.integers(), min_size=1, max_size=3),
    "exclude": st.lists(SCALARS, max_size=3),
    "item": HOSTILE | st.integers(),
    "kind": st.sampled_from(["click", "rating", "dislike", "item"]),
    "value": SCALARS,
    "timestamp": st.integers() | st.none(),
    "id": HOSTILE,
    "slate": HOSTILE,
    "attributes": st.dictionaries(st.sampled_from(["title", "categories", "year", "price", "nope"]), JSON, max_size=3),
    "available": st.booleans(),
    "session": SCALARS,
    "name": HOSTILE | st.text(max_size=3),
    "arms": st.lists(
        st.fixed_dictionaries(
            {"name": st.sampled_from("abc") | HOSTILE, "share": st.sampled_from([0.5]) | SCALARS},
            optional={"artifact": HOSTILE},
        ),
        max_size=3,
    ),
}


def bodies(operation: Operation) -> st.SearchStrategy[Any]:
    """Bodies that are near to what an operation takes, and some that are not."""
    names = getattr(operation.asks, "__struct_fields__", ())
    near = st.fixed_dictionaries({}, optional={name: PLAIN.get(name, JSON) for name in names})
    if "events" in names:
        one = st.fixed_dictionaries({name: PLAIN[name] for name in ("kind", "item", "user", "value")})
        near = st.fixed_dictionaries({"events": st.lists(one, max_size=3)})
    return near | near | near | JSON


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_no_request_makes_the_server_fail(steady: Caller, operation: Operation) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(bodies(operation), HOSTILE)
    def throw(body: Any, id_: str) -> None:
        id_ = json.dumps(id_)[1:-1].replace("\\", "%5c").replace("?", "%3f")
        path = operation.path.replace("{id}", id_).replace("{name}", id_)
        more: dict[str, Any] = {"content": json.dumps(body).encode(), "headers": {"content-type": "application/json"}}
        if operation.method == "GET":
            asked = body.items() if isinstance(body, dict) else ()
            more = {"params": {name: str(value).encode(errors="replace") for name, value in asked if name.isascii()}}
        answer = steady(operation.method, path, **more)
        assert answer.status_code < 500, answer.text
        assert "Traceback" not in answer.text
        if answer.status_code >= 400:
            assert answer.json()["detail"].rstrip().endswith((".", "!")), answer.text

    throw()
    assert steady("GET", "/health").json()["trouble"] is None


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=40))
def test_bytes_that_are_no_json_are_refused(steady: Caller, content: bytes) -> None:
    answer = steady("POST", "/recommend", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 422)


def test_hostile_bytes_on_the_wire_never_fail_the_server_and_learn_nothing(
    artifact: Path, fitted: Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = [str(id_) for ids in (fitted.dataset.item_ids.ids, fitted.dataset.user_ids.ids) for id_ in ids[:10]]
    with serving(Settings(artifact=artifact, events=tmp_path / "events.db"), http=Guarded) as url:
        running = Running(url, os.getpid(), tmp_path / "no.log")
        report = asyncio.run(assail(running, Hostile(3, known), 600, lambda _: None))
        with Client(url) as client:
            assert (client.health().status, client.health().trouble) == ("ok", None)
    assert sum(report.statuses.values()) == 600
    assert len(report.kinds) > 5
    assert {200, 400, 404, 405, 422} <= report.statuses.keys()
    assert (report.failed, report.leaked, report.silent) == ([], [], [])
    assert not [record for record in caplog.records if record.exc_info]
