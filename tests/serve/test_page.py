"""The page for people, as the server hands it out; what it does is tested in a browser by `test_browser.py`."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.conftest import Caller, calling

from twofold.serve.bundle import read_bundle
from twofold.serve.keys import add_key
from twofold.serve.settings import Settings


def test_the_page_and_all_that_it_loads_are_served(steady: Caller) -> None:
    front = steady("GET", "/")
    assert front.status_code == 200
    assert front.headers["content-type"] == "text/html; charset=utf-8"
    assert front.headers["cache-control"] == "no-cache"
    loaded = re.findall(r'(?:src|href)="(/page/[^"]+)"', front.text)
    assert {Path(path).suffix for path in loaded} == {".js", ".css", ".svg"}
    for path in loaded:
        asset = steady("GET", path)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r'(src|href)="(https?:)?//', front.text)
    assert "<style" not in front.text
    assert not re.search(r"<script(?![^>]*src=)", front.text)


def test_the_page_may_run_its_own_scripts_and_talk_to_its_own_server_alone(steady: Caller) -> None:
    policy = steady("GET", "/").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    api = steady("GET", "/health").headers.get_list("content-security-policy")
    assert api == ["default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"]


def test_a_browser_that_has_the_page_gets_no_second_copy(steady: Caller) -> None:
    front = steady("GET", "/")
    again = steady("GET", "/", headers={"if-none-match": front.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == front.headers["etag"]
    assert steady("GET", "/", headers={"if-none-match": 'W/"other"'}).status_code == 200


def test_the_page_is_small_on_the_wire(steady: Caller) -> None:
    sizes = {path: len(asset.packed) for path, asset in read_bundle().items()}
    assert sum(sizes.values()) < 300_000
    script = next(path for path in sizes if path.endswith(".js"))
    packed = steady("GET", script, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == sizes[script]
    plain = steady("GET", script, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content == gzip.decompress(read_bundle()[script].packed)


@pytest.mark.parametrize(
    "path",
    [
        "/page",
        "/page/",
        "/page/index.html",
        "/page/nothing.js",
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/..%2fapp.py",
        "/page//etc/passwd",
        "/page/index-%00.js",
        "/index.html",
    ],
)
def test_no_other_path_leads_to_a_file(steady: Caller, path: str) -> None:
    answer = steady("GET", path)
    assert answer.status_code == 404
    assert answer.json()["status"] == 404


def test_the_page_is_read_only(steady: Caller) -> None:
    assert steady("POST", "/", json={}).status_code == 405
    assert steady("HEAD", "/").status_code == 200


def test_without_keys_the_page_is_for_this_machine(steady: Caller) -> None:
    assert steady("GET", "/", headers={"host": "evil.example"}).status_code == 403


def test_with_keys_the_page_is_open_and_what_it_asks_is_not(settings: Settings, tmp_path: Path) -> None:
    add_key(tmp_path / "keys.json", "shop", "read")
    with calling(replace(settings, keys=tmp_path / "keys.json")) as call:
        assert call("GET", "/", headers={"host": "shop.example"}).status_code == 200
        assert call("GET", "/catalogue").status_code == 401
