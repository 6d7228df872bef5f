"""The API, asked in this process."""

import logging
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.conftest import Caller, calling, until

from twofold.core import Event, Pipeline, Query, Slate
from twofold.serve.keys import add_key, remove_key
from twofold.serve.operations import OPERATIONS
from twofold.serve.settings import Settings


def test_answers_are_those_of_the_pipeline(call: Caller, fitted: Pipeline) -> None:
    user, item = fitted.dataset.user_ids.ids[0], fitted.dataset.item_ids.ids[0]
    word = max(fitted.dataset.items["title"][0].split(), key=len)
    asked = [
        ("/recommend", {"user": user}, Query(user=user, k=5)),
        ("/similar", {"items": [item]}, Query(items=[item], k=5)),
        ("/search", {"text": word}, Query(text=word, k=5, repeat=True)),
        ("/trending", {}, Query(k=5)),
    ]
    for path, body, query in asked:
        answer = call.post(path, **body, k=5)
        expected = fitted.run(query)
        assert [pick["item"] for pick in answer["slate"]["picks"]] == expected.items
        assert [pick["reason"] for pick in answer["slate"]["picks"]] == [pick.reason for pick in expected.picks]
        assert re.fullmatch("[0-9a-f]{32}", answer["slate"]["id"])
        assert re.fullmatch("[0-9a-f]{12}", answer["artifact"])


def test_questions_at_once_get_each_their_own_answer(call: Caller, fitted: Pipeline) -> None:
    users = fitted.dataset.user_ids.ids.to_list()
    bodies = [{"user": user, "k": 1 + at % 7} for at, user in enumerate(users)]
    bodies[3]["filters"] = {"nonsense": 1}
    answers = call.gather(*(("POST", "/recommend", {"json": body}) for body in bodies))
    assert [answer.status_code for answer in answers] == [422 if at == 3 else 200 for at in range(len(users))]
    for at, (user, answer) in enumerate(zip(users, answers, strict=True)):
        if at != 3:
            got = [pick["item"] for pick in answer.json()["slate"]["picks"]]
            assert got == fitted.run(Query(user=user, k=1 + at % 7)).items


def test_filters_and_exclusions_hold(call: Caller, fitted: Pipeline) -> None:
    first = call.picks("/trending")[0]
    assert first not in call.picks("/trending", exclude=[first], k=60)
    category = fitted.dataset.items["categories"][0][0]
    kinds = dict(fitted.dataset.items.select("item", "categories").iter_rows())
    found = call.picks("/trending", filters={"categories": category}, k=60)
    assert found
    assert all(category in kinds[item] for item in found)


def test_a_click_changes_the_next_slate_at_once(call: Caller) -> None:
    before = call.picks("/recommend", user="somebody new", k=5)
    assert before == call.picks("/trending", k=5)
    slate = call.post("/recommend", user="somebody new", k=5)["slate"]["id"]
    clicked = before[0]
    call.post("/events", kind="click", item=clicked, user="somebody new", slate=slate)
    after = call.picks("/recommend", user="somebody new", k=5)
    assert clicked not in after
    assert after != before
    assert [stored.event.item for stored in call.server.store.of_slate(slate)] == [clicked]
    assert call("GET", "/users/somebody%20new").json()["events"] == 1


def test_an_impression_is_kept_but_is_no_taste(call: Caller) -> None:
    before = call.picks("/recommend", user="ann")
    call.post("/events", kind="impression", item=before[0], user="ann")
    assert call.picks("/recommend", user="ann") == before
    assert len(call.server.store.of_user("ann")) == 1


def test_what_many_click_is_trending(call: Caller) -> None:
    last = call.picks("/trending", k=60)[-1]
    events = [{"kind": "purchase", "item": last, "user": f"u{number}"} for number in range(200)]
    assert len(call.post("/events/batch", events=events)["ids"]) == 200
    assert call.picks("/trending", k=1) == [last]


def test_events_are_stored_once(call: Caller) -> None:
    item = call.picks("/trending")[0]
    event = {"kind": "click", "item": item, "user": "ann", "id": "mine"}
    for _ in range(2):
        assert call.post("/events", **event) == {"ids": ["mine"]}
    call.post("/events/batch", events=[event, event])
    assert len(call.server.store.read()) == 1
    assert call("GET", "/users/ann").json()["events"] == 1


def test_one_wrong_event_keeps_the_whole_batch_out(call: Caller) -> None:
    item = call.picks("/trending")[0]
    wrong = [{"kind": "click", "item": item}, {"kind": "rating", "item": item}]
    answer = call("POST", "/events/batch", json={"events": wrong})
    assert answer.status_code == 422
    assert "no value" in answer.json()["detail"]
    assert call.server.store.end() == 0


def test_an_item_comes_changes_is_sold_out_and_goes(call: Caller) -> None:
    put = call("PUT", "/items/fresh", json={"attributes": {"title": "Zyzzyva", "categories": ["Odd"], "year": 1999}})
    assert put.status_code == 200
    assert until(lambda: call.picks("/search", text="zyzzyva") == ["fresh"])
    assert call.picks("/trending", filters={"categories": "Odd"}) == ["fresh"]
    assert call("GET", "/suggest", params={"text": "zyz"}).json() == {"titles": ["Zyzzyva"]}

    call("PUT", "/items/fresh", json={"attributes": {"title": "Quokka"}})
    assert until(lambda: call.picks("/search", text="quokka") == ["fresh"])
    assert call("GET", "/items/fresh").json()["attributes"]["year"] == 1999

    call("PUT", "/items/fresh", json={"available": False})
    assert call("GET", "/items/fresh").json()["available"] is False
    assert call.picks("/search", text="quokka") == []
    assert call.picks("/trending", filters={"categories": "Odd"}) == []
    assert call("GET", "/suggest", params={"text": "quok"}).json() == {"titles": []}

    call("PUT", "/items/fresh", json={})
    assert until(lambda: call.picks("/search", text="quokka") == ["fresh"])
    call("DELETE", "/items/fresh")
    assert call.picks("/search", text="quokka") == []


def test_a_wrong_item_is_refused_before_it_is_stored(call: Caller) -> None:
    for attributes, said in [
        ({"colour": "red"}, "did you mean|known"),
        ({"year": "long ago"}, "do not fit"),
        ({"item": "x"}, "leave it out"),
        ({"categories": [["a"]]}, "see /docs"),
    ]:
        answer = call("PUT", "/items/fresh", json={"attributes": attributes})
        assert answer.status_code == 422, attributes
        assert re.search(said, answer.json()["detail"]), answer.json()
    assert call.server.store.end() == 0
    assert call("GET", "/items/fresh").status_code == 404


def test_a_user_is_described_and_forgotten(call: Caller, fitted: Pipeline) -> None:
    user = fitted.dataset.user_ids.ids[0]
    assert call("GET", f"/users/{user}").json()["events"] > 0
    call("PUT", f"/users/{user}", json={"attributes": {"nickname": "Ann"}})
    assert call("GET", f"/users/{user}").json()["attributes"]["nickname"] == "Ann"
    call("DELETE", f"/users/{user}")
    assert call("GET", f"/users/{user}").json() == {"user": user, "attributes": {}, "events": 0}
    assert call.picks("/recommend", user=user) == call.picks("/trending")


def test_explanations_name_the_events_behind_a_score(call: Caller, fitted: Pipeline) -> None:
    seed = fitted.dataset.item_ids.ids[0]
    first = call.picks("/similar", items=[seed])[0]
    told = call.post("/explain", item=first, items=[seed])
    assert told["scores"]["items.similar"] > 0
    assert {voice["item"] for voice in told["because"]} == {seed}
    assert call("POST", "/explain", json={"item": "nothing"}).status_code == 404


def test_a_server_that_starts_again_knows_what_happened(settings: Settings) -> None:
    with calling(settings) as call:
        gone = call.picks("/trending")[0]
        call.post("/events", kind="click", item=call.picks("/trending")[1], user="ann")
        call("PUT", "/items/fresh", json={"attributes": {"title": "Zyzzyva"}})
        call("DELETE", f"/items/{gone}")
        slate = call.picks("/recommend", user="ann")
    with calling(settings) as call:
        assert call.picks("/search", text="zyzzyva") == ["fresh"]
        assert gone not in call.picks("/trending", k=60)
        assert call.picks("/recommend", user="ann") == slate


def test_what_another_process_stored_is_followed(call: Caller) -> None:
    before = call.picks("/recommend", user="ann")
    call.server.store.append([Event(kind="click", item=before[0], user="ann")])
    assert until(lambda: before[0] not in call.picks("/recommend", user="ann"))
    assert call("GET", "/health").json()["behind"] == 0


def test_operators_see_how_it_is(call: Caller, fitted: Pipeline) -> None:
    call.post("/recommend", user="ann")
    health = call("GET", "/health").json()
    assert (health["status"], health["items"], health["trouble"]) == ("ok", len(fitted.dataset.items), None)
    assert call("GET", "/ready").status_code == 200
    ladder = call("GET", "/ladder").json()
    assert (ladder["rungs"], ladder["current"], ladder["waiting"]) == ([], None, 0)
    assert ladder["arriving"] > 0
    assert call("GET", "/experiments").json() == {"experiments": []}
    assert 'twofold_requests_total{method="POST",route="/recommend",status="200"} 1.0' in call("GET", "/metrics").text


def test_the_description_names_every_operation(call: Caller) -> None:
    about = call("GET", "/openapi.json").json()
    assert about["openapi"].startswith("3.1")
    named = {(path, method.upper()) for path, methods in about["paths"].items() for method in methods}
    assert named == {(operation.path, operation.method) for operation in OPERATIONS}
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', call("GET", "/openapi.json").text))
    assert refs <= about["components"]["schemas"].keys()
    assert "/recommend" in call("GET", "/docs").text


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "detail"),
    [
        ("POST", "/recommend", {"json": {"k": 0}}, 422, r"\$\.k`"),
        ("POST", "/recommend", {"json": {"k": 101}}, 422, "<= 100"),
        ("POST", "/recommend", {"json": {"kk": 1}}, 422, "`kk`"),
        ("POST", "/search", {"json": {}}, 422, "`text`"),
        ("POST", "/search", {"json": {"text": "x" * 1_001}}, 422, "1000"),
        ("POST", "/search", {"json": {"text": "x", "filters": {str(n): 1 for n in range(17)}}}, 422, "16"),
        ("POST", "/events/batch", {"json": {"events": [{"kind": "click", "item": 1}] * 1_001}}, 422, "1000"),
        ("POST", "/recommend", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "valid JSON"),
        (
            "POST",
            "/recommend",
            {"content": b"[" * 90_000, "headers": {"content-type": "application/json"}},
            422,
            "`object`",
        ),
        ("POST", "/recommend", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "Content-Type"),
        ("POST", "/search", {"json": {"text": "x", "exclude": ["y" * 190] * 999 + ["z" * 201]}}, 422, "200"),
        ("GET", "/recommend", {}, 405, "another method"),
        ("GET", "/nothing", {}, 404, "/docs"),
        ("GET", "/items/" + "x" * 201, {}, 422, "200 characters"),
        ("GET", "/suggest", {"params": {"text": "a", "k": "many"}}, 422, r"\$\.k`"),
        ("GET", "/health", {"headers": {"host": "evil.example"}}, 403, "127.0.0.1"),
    ],
)
def test_wrong_requests_get_a_problem_that_says_what_to_do(
    steady: Caller, method: str, path: str, more: dict, status: int, detail: str
) -> None:
    answer = steady(method, path, **more)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert re.search(detail, problem["detail"]), problem
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_body_that_is_too_large_is_cut(settings: Settings) -> None:
    with calling(replace(settings, largest_body=1_000)) as call:
        assert call("POST", "/search", json={"text": "x" * 900}).status_code == 200

        async def endless():
            while True:
                yield b" " * 400

        headers = {"content-type": "application/json"}
        for content in (b" " * 1_001, endless()):
            assert call("POST", "/search", content=content, headers=headers).status_code == 413


def test_keys_say_who_may_do_what_and_how_often(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    tokens = {role: add_key(file, role, role) for role in ("read", "event", "admin")}
    slow = add_key(file, "slow", "read", 0.001)
    with calling(replace(settings, keys=file)) as call:

        def status(token: str | None, method: str, path: str, **more: object) -> int:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            return call(method, path, headers=headers, **more).status_code

        event = {"json": {"kind": "click", "item": "x"}}
        assert status(None, "GET", "/health") == 200
        assert status(None, "POST", "/trending", json={}) == 401
        assert status("tf_wrong", "POST", "/trending", json={}) == 401
        assert [status(tokens[role], "POST", "/trending", json={}) for role in tokens] == [200, 200, 200]
        assert [status(tokens[role], "POST", "/events", **event) for role in tokens] == [403, 200, 200]
        assert [status(tokens[role], "DELETE", "/items/x") for role in tokens] == [403, 403, 200]
        assert [status(tokens[role], "GET", "/metrics") for role in tokens] == [403, 403, 200]
        assert status(slow, "POST", "/trending", json={}) == 200
        answer = call("POST", "/trending", json={}, headers={"x-api-key": slow})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0


def test_keys_are_reread_while_the_server_runs(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old = add_key(file, "old", "read")
    with calling(replace(settings, keys=file)) as call:

        def trouble(token: str) -> str | None:
            return call("GET", "/health", headers={"authorization": f"Bearer {token}"}).json()["trouble"]

        def status(token: str) -> int:
            return call("POST", "/trending", json={}, headers={"authorization": f"Bearer {token}"}).status_code

        new = add_key(file, "new", "admin")
        assert until(lambda: status(new) == 200)
        assert status(old) == 200
        remove_key(file, "old")
        assert until(lambda: status(old) == 401)
        file.write_text("[")
        assert until(lambda: trouble(new) is not None)
        assert "the keys stay as they were" in str(trouble(new))
        assert str(file) not in str(trouble("nobody's"))
        assert status(new) == 200
        remade = tmp_path / "remade"
        remade_token = add_key(remade, "remade", "read")
        remade.replace(file)
        assert until(lambda: status(remade_token) == 200)
        assert trouble(remade_token) is None


def test_no_key_gets_into_the_log(settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.json"
    token = add_key(file, "shop", "admin")
    with caplog.at_level(logging.DEBUG), calling(replace(settings, keys=file)) as call:
        headers = {"authorization": f"Bearer {token}"}

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("as played")

        call.server.live.pipeline.run_many = fail  # type: ignore[method-assign]
        assert call("POST", "/trending", json={}, headers=headers).status_code == 500
        for more in ({"params": {"key": token}}, {"headers": {"x-api-key": f"{token}?"}}, {"json": {"key": token}}):
            assert call("POST", "/trending", **more).status_code in (401, 415, 422)
        for wrong in (f'[{{"{token}": 1}}]', f'[{{"name": "a", "role": "{token}", "sha256": ""}}]'):
            file.write_text(wrong)
            assert until(lambda: call("GET", "/health", headers=headers).json()["trouble"] is not None)
            assert token not in call("GET", "/health", headers=headers).text
    ours = [record for record in caplog.records if record.name.startswith("twofold")]
    assert any("as played" in str(record.exc_info) for record in ours)
    assert all(token not in f"{record.getMessage()}{record.exc_info}" for record in ours)


def test_pages_of_other_origins_may_call_only_where_they_are_named(settings: Settings, call: Caller) -> None:
    shop = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in call("OPTIONS", "/recommend", headers=shop).headers
    with calling(replace(settings, origins=("https://shop.example",))) as open_call:
        allowed = open_call("OPTIONS", "/recommend", headers=shop)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        other = open_call("OPTIONS", "/recommend", headers={**shop, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_what_goes_wrong_inside_is_not_shown(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(call.server.live.pipeline, "run_many", fail)
    answer = call("POST", "/recommend", json={})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


class Panic(BaseException):
    """As libraries in Rust raise it: no `Exception`."""


def test_the_panic_of_a_library_fails_one_question_and_not_the_worker(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = call.server.live.pipeline
    run_many = pipeline.run_many

    def panic(queries: list[Query], **more: float) -> list[Slate]:
        if any(query.text == "panic" for query in queries):
            raise Panic("secret")
        return run_many(queries, **more)

    monkeypatch.setattr(pipeline, "run_many", panic)
    questions = [("POST", "/search", {"json": {"text": text}}) for text in ("a", "panic", "b")]
    assert [answer.status_code for answer in call.gather(*questions)] == [200, 500, 200]
    monkeypatch.setattr(call.server.store, "append", panic_at_once)
    failed = call("POST", "/events", json={"kind": "click", "item": "x"})
    assert (failed.status_code, "secret" in failed.text) == (500, False)
    monkeypatch.undo()
    monkeypatch.setattr("twofold.serve.operations.explain", panic_at_once)
    assert call("POST", "/explain", json={"item": "x"}).status_code == 500
    assert call("POST", "/events", json={"kind": "click", "item": "x"}).status_code == 200
    assert call("POST", "/search", json={"text": "panic"}).status_code == 200


def panic_at_once(*_: object) -> None:
    raise Panic("secret")


def test_an_event_of_the_far_future_does_not_make_all_else_unpopular(call: Caller) -> None:
    first, second, third = call.picks("/trending", k=3)
    now = time.time_ns() // 1_000_000
    for item, at, status in (
        (third, now, 200),
        (third, now, 200),
        (second, now + 3_600_000, 200),  # clocks differ
        (first, now + 2 * 86_400_000, 422),
        (first, 8_640_000_000_000_000, 422),
    ):
        answer = call("POST", "/events", json={"kind": "click", "item": item, "timestamp": at})
        assert answer.status_code == status
    assert call.picks("/trending", k=2) == [third, second]
