"""Who gets which arm, and experiments over HTTP: begun, served by, logged, summed up and stopped."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chisquare
from tests.serve.conftest import Caller, calling, until

from twofold.core import Event, Pipeline
from twofold.data import Simulation, simulate
from twofold.flows import default_recipe
from twofold.serve.experiments import Experiment, Experiments, unit_of
from twofold.serve.promotion import promote
from twofold.serve.settings import Settings
from twofold.serve.wire import Arm

UNITS = [f"user {number}" for number in range(20_000)]
HALVES = [{"name": "plain", "share": 0.5}, {"name": "varied", "share": 0.5, "diversity": 1.0}]
THIRDS = (Arm(name="a", share=0.2), Arm(name="b", share=0.3), Arm(name="c", share=0.5))


def make(name: str, arms: tuple[Arm, ...] = THIRDS) -> Experiment:
    return Experiment(name=name, arms=arms, started=0)


def test_units_spread_over_the_arms_as_the_shares_say() -> None:
    for name in ("one", "two", "three"):
        counts = Counter(make(name).arm_of(unit).name for unit in UNITS)
        expected = [len(UNITS) * arm.share for arm in THIRDS]
        assert chisquare([counts[arm.name] for arm in THIRDS], expected).pvalue > 0.01


def test_two_experiments_split_independently() -> None:
    both = Counter((make("one").arm_of(unit).name, make("two").arm_of(unit).name) for unit in UNITS)
    cells = [(first, second) for first in THIRDS for second in THIRDS]
    expected = [len(UNITS) * first.share * second.share for first, second in cells]
    assert chisquare([both[first.name, second.name] for first, second in cells], expected).pvalue > 0.01
    assert both["a", "a"] < sum(count for (first, _), count in both.items() if first == "a") / 2


def test_an_arm_stays_whatever_order_events_come_in_and_how_often() -> None:
    experiment = make("one")
    events = [experiment.begins(), experiment.stops(), make("two").begins()]
    for told in (events, events[::-1][1:] + events, [*events, *events]):
        known = Experiments(told)
        assert known.known["one"].stopped is not None
        assert [one.name for one in known.running] == ["two"]
        assert [known.known["two"].arm_of(unit) for unit in UNITS[:50]] == [make("two").arm_of(u) for u in UNITS[:50]]
    known = Experiments([experiment.begins(), replace(make("one", THIRDS[:2]).begins(), timestamp=9)])
    assert known.known["one"].arms == THIRDS


def test_nobody_in_particular_gets_the_control_and_does_not_count() -> None:
    arms = (Arm(name="a", share=0.001, diversity=0.5), Arm(name="b", share=0.999, diversity=1.0))
    assigned = Experiments([make("one", arms).begins()]).assign(None, ())
    assert (assigned.arms, assigned.diversity) == ((), 0.5)
    assert (unit_of(5, None), unit_of("5", "s"), unit_of(None, "5")) == ("user 5", "user 5", "session 5")


def test_what_an_arm_needs_must_be_open() -> None:
    arms = (Arm(name="a", share=0.5), Arm(name="b", share=0.5, artifact="second"))
    known = Experiments([make("one", arms).begins(), make("two").begins()])
    assert [one.experiment for one in known.assign("user ann", ()).arms] == ["two"]
    found = [known.assign(unit, ("second",)) for unit in UNITS[:100]]
    assert {one.artifact for one in found} == {None, "second"}
    assert all((one.artifact == "second") == (one.arms[0].arm == "b") for one in found)
    assert {one.arms[0].propensity for one in found} == {0.5}


def listed(call: Caller) -> list[dict[str, Any]]:
    found = call("GET", "/experiments").json()["experiments"]
    assert isinstance(found, list)
    return found


def test_an_experiment_runs_from_its_start_to_its_stop(call: Caller) -> None:
    plain = call.picks("/recommend", user="ann", k=8)
    varied = call.picks("/recommend", user="ann", k=8, diversity=1)
    assert plain != varied
    started = call.post("/experiments", name="variety", arms=HALVES)
    assert [row["users"] for row in started["arms"]] == [0, 0]

    slates = {user: call.post("/recommend", user=user, k=8)["slate"] for user in (f"u{number}" for number in range(24))}
    arm_of = {user: slate["arms"]["variety"] for user, slate in slates.items()}
    for user, slate in slates.items():
        assert [pick["item"] for pick in slate["picks"]] == (plain if arm_of[user] == "plain" else varied)
    assert len(set(arm_of.values())) == 2
    assert all(call.post("/search", text="a", user=user)["slate"]["arms"]["variety"] == arm_of[user] for user in arm_of)
    # A diversity that a question names itself stays.
    chosen = {tuple(call.picks("/recommend", user=user, k=8, diversity=1e-9)) for user in arm_of}
    assert chosen == {tuple(plain)}
    assert call.post("/recommend", k=8)["slate"]["arms"] == {}
    sessions = {call.post("/trending", session=f"s{number}")["slate"]["arms"]["variety"] for number in range(24)}
    assert sessions == {"plain", "varied"}

    for user, slate in slates.items():
        if arm_of[user] == "varied":
            for kind, pick in zip(("click", "like"), slate["picks"], strict=False):
                call.post("/events", kind=kind, item=pick["item"], user=user, slate=slate["id"])
    counts = Counter(arm_of.values())
    assert until(lambda: sum(row["slates"] for row in listed(call)[0]["arms"]) == 24 * 4)
    control, other = listed(call)[0]["arms"]
    assert other["positive"] == counts["varied"]
    assert control["positive"] == 0
    assert control["users"] + other["users"] == 48
    assert other["difference"]["value"] == pytest.approx(other["rate"]["value"]) != 0
    assert control["difference"] is None

    stopped = call.post("/experiments/variety/stop")
    assert stopped["stopped"] >= stopped["started"]
    assert call.post("/experiments/variety/stop") == stopped
    assert call.post("/recommend", user="u0", k=8)["slate"]["arms"] == {}
    logged = [slate for _, slate in call.server.store.slates()]
    assert len(logged) == 24 * 4
    assert {(one.arms[0].arm, one.arms[0].propensity) for one in logged} == {("plain", 0.5), ("varied", 0.5)}
    assert {one.artifact for one in logged} == {call.server.live.name}


def test_all_workers_and_a_restart_know_an_experiment(settings: Settings) -> None:
    with calling(settings) as first, calling(settings) as second:
        first.post("/experiments", name="variety", arms=HALVES)
        users = [f"u{number}" for number in range(12)]
        assert until(lambda: bool(second.post("/recommend", user="u0")["slate"]["arms"]))
        arms = [[call.post("/recommend", user=user)["slate"]["arms"] for user in users] for call in (first, second)]
        assert arms[0] == arms[1]
    with calling(settings) as call:
        assert [call.post("/recommend", user=user)["slate"]["arms"] for user in users] == arms[0]
        assert until(lambda: sum(row["slates"] for row in listed(call)[0]["arms"]) >= 3 * len(users))
        call.post("/experiments/variety/stop")
    with calling(settings) as call:
        assert call.post("/recommend", user="u0")["slate"]["arms"] == {}
        assert listed(call)[0]["stopped"] is not None


@pytest.fixture
def linked(fitted: Pipeline, tmp_path: Path) -> Iterator[Caller]:
    """A server that follows a link to one of two artifacts which rank differently."""
    fitted.save(tmp_path / "first")
    dataset = simulate(Simulation(users=40, items=60, events=900, seed=8))[0]
    Pipeline(replace(default_recipe(), tune={})).fit(dataset, rng=0).save(tmp_path / "second")
    promote(tmp_path / "first", tmp_path / "current")
    with calling(Settings(artifact=tmp_path / "current", events=tmp_path / "events.db")) as caller:
        yield caller


def test_an_arm_may_be_another_artifact(linked: Caller, tmp_path: Path) -> None:
    call, second = linked, Pipeline.load(tmp_path / "second")
    names = {one["folder"]: one["artifact"] for one in call("GET", "/artifacts").json()["artifacts"]}
    arms = [{"name": "now", "share": 0.5}, {"name": "next", "share": 0.5, "artifact": "second"}]
    call.post("/experiments", name="ranking", arms=arms)
    call.post("/experiments", name="variety", arms=HALVES)  # another option, so both may run
    assert until(lambda: "ranking" in call.post("/trending", session="s")["slate"]["arms"])
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/trending", {"json": {"session": f"s{number}", "k": 5, "show": ["year"]}}) for number in range(30)
    ]
    served = [answer.json() for answer in call.gather(*requests)]
    cells = Counter()
    for one in served:
        slate = one["slate"]
        arm = slate["arms"]["ranking"]
        cells[arm, slate["arms"]["variety"]] += 1
        assert one["artifact"] == names["second" if arm == "next" else "first"]
        assert len(slate["attributes"]) == 5
    assert len(cells) == 4

    shown = next(one["slate"] for one in served if one["slate"]["arms"] == {"ranking": "next", "variety": "plain"})
    from twofold.core import Query

    assert [pick["item"] for pick in shown["picks"]] == second.run(Query(k=5)).items
    # Items that are new are found by each arm.
    call("PUT", "/items/fresh", json={"attributes": {"title": "Zyzzyva"}})
    found = lambda: [call.picks("/search", text="zyzzyva", user=f"u{number}") for number in range(10)]  # noqa: E731
    assert until(lambda: all(items == ["fresh"] for items in found()))

    call.post("/experiments/ranking/stop")
    assert until(lambda: not call.server.beside.opened)
    assert {call.post("/trending", session=f"s{number}")["artifact"] for number in range(8)} == {names["first"]}


def test_an_artifact_that_cannot_be_opened_keeps_its_experiment_from_running(linked: Caller) -> None:
    arms = (Arm(name="now", share=0.5), Arm(name="next", share=0.5, artifact="gone"))
    linked.server.store.append([make("ranking", arms).begins()])
    assert until(lambda: "'gone' cannot be opened" in str(linked("GET", "/health").json()["trouble"]))
    assert linked.post("/trending", session="s")["slate"]["arms"] == {}


WRONG = {
    "one arm": ([HALVES[0] | {"share": 0.99}], "length >= 2"),
    "no arms": ([], "length >= 2"),
    "a thousand arms": ([{"name": f"a{number}", "share": 0.001} for number in range(1_000)], "length <= 10"),
    "shares above 1": ([HALVES[0], HALVES[1] | {"share": 0.6}], "add up to 1.1; let them"),
    "shares below 1": ([HALVES[0], HALVES[1] | {"share": 0.4}], "add up to 0.9; let them"),
    "no share": ([HALVES[0], {"name": "b", "share": 0}], "> 0"),
    "a share of everything": ([{"name": "a", "share": 1}, HALVES[1]], "< 1"),
    "one name twice": ([HALVES[0], HALVES[0]], "two arms have one name"),
    "an odd name": ([HALVES[0], HALVES[1] | {"name": "a/b"}], "regex"),
    "a name that ends its line": ([HALVES[0], HALVES[1] | {"name": "b\n"}], "regex"),
    "an unknown option": ([HALVES[0], HALVES[1] | {"colour": "red"}], "unknown field `colour`"),
    "no diversity": ([HALVES[0], HALVES[1] | {"diversity": 2}], "<= 1"),
    "an unknown artifact": ([HALVES[0], HALVES[1] | {"artifact": "nothing"}], "/artifacts lists them"),
    "a path": ([HALVES[0], HALVES[1] | {"artifact": "../artifact"}], "/artifacts lists them"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arms_are_refused_in_a_sentence(steady: Caller, case: str) -> None:
    arms, said = WRONG[case]
    answer = steady("POST", "/experiments", json={"name": "wrong", "arms": arms})
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert "wrong" not in steady.server.experiments.known


@pytest.mark.parametrize("name", ["", "a b", "../x", "naïve", "实验", "x" * 65, ".x", "x\n", "<b>", 5, None])
def test_wrong_names_are_refused(steady: Caller, name: object) -> None:
    answer = steady("POST", "/experiments", json={"name": name, "arms": HALVES})
    assert answer.status_code == 422
    assert "see /docs" in answer.json()["detail"]


def test_a_name_is_used_once_and_an_option_by_one_experiment(call: Caller) -> None:
    first = call.post("/experiments", name="variety", arms=HALVES)
    assert call.post("/experiments", name="variety", arms=HALVES)["started"] == first["started"]
    other = call("POST", "/experiments", json={"name": "variety", "arms": HALVES[::-1]})
    assert (other.status_code, "another name" in other.json()["detail"]) == (409, True)
    second = call("POST", "/experiments", json={"name": "more-variety", "arms": HALVES})
    assert (second.status_code, "'variety' varies diversity" in second.json()["detail"]) == (409, True)
    call.post("/experiments/variety/stop")
    assert call("POST", "/experiments", json={"name": "variety", "arms": HALVES}).status_code == 409
    alike = [{"name": name, "share": 0.5} for name in "ab"]
    for number in range(10):
        call.post("/experiments", name=f"alike-{number}", arms=alike)
    full = call("POST", "/experiments", json={"name": "alike-10", "arms": alike})
    assert (full.status_code, "stop one" in full.json()["detail"]) == (409, True)
    assert [one["name"] for one in listed(call)][:2] == ["alike-9", "alike-8"]
    assert call("POST", "/experiments/nothing/stop", json={}).status_code == 404


def test_nobody_can_take_the_id_of_an_experiment(call: Caller) -> None:
    answer = call("POST", "/events", json={"kind": "click", "item": 1, "id": "experiment/variety"})
    assert answer.status_code == 422
    assert "another id" in answer.json()["detail"]


def test_a_page_elsewhere_cannot_stop_an_experiment(call: Caller) -> None:
    call.post("/experiments", name="variety", arms=HALVES)
    form = call("POST", "/experiments/variety/stop", content=b"{}", headers={"content-type": "text/plain"})
    assert form.status_code == 415
    assert call.server.experiments.known["variety"].stopped is None


def test_all_slates_are_logged_where_that_is_wanted(settings: Settings) -> None:
    with calling(settings) as call:
        call.post("/recommend", user="ann")
    with calling(replace(settings, log_slates=True)) as call:
        slate = call.post("/recommend", user="ann", k=3)["slate"]
        call.post("/trending")
    with calling(settings) as call:
        logged = [one for _, one in call.server.store.slates()]
    assert [(one.user, len(one.items), tuple(one.arms)) for one in logged] == [("ann", 3, ()), (None, 10, ())]
    assert (logged[0].id, list(logged[0].items)) == (slate["id"], [pick["item"] for pick in slate["picks"]])


def test_events_of_experiments_say_nothing_of_taste(call: Caller) -> None:
    before = call.picks("/trending")
    call.server.store.append([make("one").begins(), Event(kind="experiment-stopped", experiment="nobody's")])
    assert until(lambda: bool(call.server.experiments.running))
    assert call.picks("/trending") == before
