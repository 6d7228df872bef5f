"""What operators see of artifacts over HTTP, and how they change the one that answers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.conftest import Caller, calling, until

from twofold.core import Pipeline
from twofold.serve.keys import add_key
from twofold.serve.promotion import promote
from twofold.serve.settings import Settings


@pytest.fixture
def linked(fitted: Pipeline, tmp_path: Path) -> Settings:
    """A server that follows a link, with two artifacts beside it and things that are none."""
    fitted.save(tmp_path / "first")
    fitted.save(tmp_path / "second", description={"quality": {"protocol": {}, "rows": []}})
    (tmp_path / "notes").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    promote(tmp_path / "first", tmp_path / "current")
    return Settings(artifact=tmp_path / "current", events=tmp_path / "events.db")


@pytest.fixture
def call_linked(linked: Settings) -> Iterator[Caller]:
    with calling(linked) as caller:
        yield caller


def test_artifacts_are_listed_promoted_and_rolled_back(call_linked: Caller) -> None:
    call = call_linked
    told = call("GET", "/artifacts").json()
    assert {one["folder"] for one in told["artifacts"]} == {"first", "second"}
    assert (told["current"], told["previous"], told["linked"]) == ("first", None, True)
    names = {one["folder"]: one["artifact"] for one in told["artifacts"]}
    assert call("GET", "/health").json()["artifact"] == names["first"]
    assert call("GET", "/artifact").json()["quality"] is None

    assert call.post("/promote", folder="second") == {"folder": "second", "artifact": names["second"]}
    assert until(lambda: call("GET", "/health").json()["artifact"] == names["second"])
    assert call("GET", "/artifacts").json()["previous"] == "first"
    assert call("GET", "/artifact").json()["quality"] == {"protocol": {}, "rows": []}

    late = call("POST", "/rollback", json={"artifact": names["first"]})
    assert late.status_code == 409
    assert "look again" in late.json()["detail"]
    assert call.post("/rollback", artifact=names["second"])["folder"] == "first"
    assert until(lambda: call("GET", "/health").json()["artifact"] == names["first"])


@pytest.mark.parametrize(
    "folder", ["broken", "notes", "nothing", "../second", "/etc", ".", "current", "first/../second"]
)
def test_only_artifacts_that_are_listed_can_be_promoted(call_linked: Caller, folder: str) -> None:
    answer = call_linked("POST", "/promote", json={"folder": folder})
    assert answer.status_code == 404
    assert "/artifacts lists them" in answer.json()["detail"]


def test_a_damaged_artifact_is_not_promoted(call_linked: Caller, linked: Settings) -> None:
    second = linked.artifact.parent / "second"
    next((second / "dataset").glob("*.npy")).write_bytes(b"broken")
    answer = call_linked("POST", "/promote", json={"folder": "second"})
    assert answer.status_code == 422
    assert linked.artifact.resolve().name == "first"


def test_nothing_is_rolled_back_to_nothing(call_linked: Caller) -> None:
    now = call_linked("GET", "/health").json()["artifact"]
    answer = call_linked("POST", "/rollback", json={"artifact": now})
    assert answer.status_code == 422
    assert "no other artifact before" in answer.json()["detail"]


def test_a_server_without_a_link_says_so(call: Caller) -> None:
    assert call("GET", "/artifacts").json()["linked"] is False
    for path, body in (("/promote", {"folder": "artifact"}), ("/rollback", {"artifact": "x"})):
        answer = call("POST", path, json=body)
        assert answer.status_code == 422
        assert "follows no link" in answer.json()["detail"]


def test_a_page_elsewhere_cannot_roll_back(call_linked: Caller) -> None:
    # A form or a script of another origin may post without asking first, but not JSON.
    assert call_linked("POST", "/rollback", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415


def test_the_artifact_says_how_it_was_made(call: Caller, fitted: Pipeline) -> None:
    told = call("GET", "/artifact").json()
    assert told["artifact"] == call("GET", "/health").json()["artifact"]
    assert told["recipe"]["name"] == fitted.recipe.name
    assert told["cleaning"] == fitted.dataset.provenance
    assert told["data"] == fitted.dataset.fingerprint()


def test_only_administrators_operate(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    token = add_key(file, "shop", "event")
    with calling(replace(settings, keys=file)) as call:
        headers = {"authorization": f"Bearer {token}"}
        for method, path in (
            ("GET", "/artifact"),
            ("GET", "/artifacts"),
            ("GET", "/users"),
            ("POST", "/promote"),
            ("POST", "/rollback"),
            ("GET", "/experiments"),
            ("POST", "/experiments"),
            ("POST", "/experiments/any/stop"),
        ):
            assert call(method, path, headers=headers).status_code == 403
        assert call("GET", "/catalogue", headers=headers).status_code == 200
