"""A server climbs the ladder of a whole pipeline: each step is what its settings say, and nothing else is served."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnxruntime as ort
import pytest
from tests.flows.steps.tiny import Tiny, write_tiny
from tests.serve.conftest import Caller, calling

from twofold.core import Ladder, Pipeline, Query, Rung
from twofold.core.errors import ArtifactError
from twofold.core.ladder import Setting
from twofold.core.rungs import Rungs
from twofold.data import Simulation, simulate
from twofold.encoders.text.runtime import OnnxEncoder
from twofold.events import MemoryStore
from twofold.flows.steps import write_steps
from twofold.flows.steps.making import _placed
from twofold.ranking.pairs import PairScorer
from twofold.serve.rungs import CachedRungs, open_ladder
from twofold.serve.server import Server
from twofold.serve.settings import Settings

Values = tuple[str, str, str, int, int]
"""Rungs of `words`, `next` and `close`, and the depths of `close` and `fuse`."""
STEPS: dict[str, Values] = {
    "as fitted": ("", "", "", 20, 300),
    "close 5": ("", "", "", 5, 300),
    "words and next small": ("small", "small", "", 5, 300),
    "all small": ("small", "small", "small", 2, 37),
    "least": ("whole", "small", "", 0, 18),
}


def settings_of(values: Values) -> dict[str, Setting]:
    words, after, close, depth, candidates = values
    return {
        "words": Setting(rung=words),
        "next": Setting(rung=after),
        "close": Setting(rung=close, depth=depth),
        "fuse": Setting(depth=candidates),
    }


def steps_of(tiny: Tiny) -> Ladder:
    rungs = [
        Rung(
            name=name,
            quality=1 - 0.03 * place,
            milliseconds=10.0 * 0.5**place,
            network_milliseconds=8.0 * 0.5**place,
            bytes=0,
            settings=settings_of(values),
        )
        for place, (name, values) in enumerate(STEPS.items())
    ]
    stages = {name: _placed(Ladder.read(folder), folder) for name, folder in tiny.ladders.items()}
    sha256 = json.loads((tiny.artifact / "manifest.json").read_text())["sha256"]
    return Ladder(rungs=rungs, artifact=sha256, stages=stages)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    dataset = simulate(Simulation(users=120, items=150, events=6_000, seed=2))[0]
    tiny = write_tiny(tmp_path_factory.mktemp("served"), dataset)
    write_steps(steps_of(tiny), tiny.artifact.with_name("artifact-ladder"))
    return tiny


@pytest.fixture
def call(tiny: Tiny, tmp_path: Path) -> Iterator[Caller]:
    with calling(Settings(artifact=tiny.artifact, events=tmp_path / "events.db", quality_floor=0.0)) as caller:
        yield caller


def by_hand(tiny: Tiny, values: Values) -> Pipeline:
    """Set everything without a ladder, as a person would."""
    pipeline = Pipeline.load(tiny.artifact)
    words, after, close, depth, candidates = values
    encoder, model, ranker = (pipeline.stages[name] for name in ("words", "next", "close"))
    if words:
        encoder.runner = OnnxEncoder(tiny.words / words, threads=1)  # type: ignore[attr-defined]
    if after:
        session = ort.InferenceSession(tiny.next / after / "onnx" / "model.onnx")
        model.runner = partial(lambda session, feed: session.run(["states"], feed)[0], session)  # type: ignore[attr-defined]
    if close:
        graph = (tiny.close / close / "onnx" / "model.onnx").read_bytes()
        ranker.runner = PairScorer(graph, ranker._scorer._tokens, threads=1)  # type: ignore[attr-defined]
    ranker.depth = depth  # type: ignore[attr-defined]
    pipeline.fuser.depth = candidates
    return pipeline


def asked(pipeline: Pipeline) -> list[Query]:
    titles, users = pipeline.dataset.items["title"].to_list(), pipeline.dataset.users["user"].to_list()
    texts = [f"{one} {other}" for one, other in zip(titles[:12], titles[40:52], strict=True)]
    return [*(Query(text=text, k=8) for text in texts), *(Query(user=user, k=8) for user in users[:12])]


def told(slates: object) -> list[list[tuple[object, float]]]:
    return [[(pick.item, round(pick.score, 4)) for pick in slate.picks] for slate in slates]  # type: ignore[attr-defined]


def test_every_step_gives_the_slates_that_its_settings_give_when_set_by_hand(tiny: Tiny, call: Caller) -> None:
    server, found = call.server, {}
    for step in server.answering.controller.steps:
        queries = asked(server.live.pipeline)
        for rungs in server.answering.searchers.values():
            rungs._cache._vectors.clear()
        slates = server._answer(server.answering, step, queries)
        found[step.name] = told(slates)
        assert found[step.name] == told(by_hand(tiny, STEPS[step.name]).run_many(queries))
        assert {slate.rung for slate in slates} == {step.name}  # type: ignore[union-attr]
        assert all(slate.settings == step.settings for slate in slates)  # type: ignore[union-attr]
    assert list(found) == list(STEPS)
    searches, histories = ([found[name][part] for name in STEPS] for part in (slice(12), slice(12, None)))
    assert all(one != other for place, one in enumerate(searches) for other in searches[:place])
    assert histories[0] == histories[1] != histories[2]


def test_a_step_holds_for_items_that_came_since(call: Caller) -> None:
    """A fork of the pipeline, made while another step was set, answers at the step that it is told."""
    server = call.server
    first, *_, last = server.answering.controller.steps
    server._answer(server.answering, last, [Query(k=1)])
    fork = server.live.pipeline.fork()
    server._answer(server.answering, first, [Query(k=1)])
    server.live._pipeline = fork
    assert fork.fuser.depth == 18
    server._answer(server.answering, first, [Query(k=1)])
    assert (fork.fuser.depth, fork.rankers["close"].depth) == (300, 20)
    assert fork.stages["next"].runner.current == ""  # type: ignore[attr-defined]


def test_nothing_is_served_that_was_not_measured_whatever_is_asked(tiny: Tiny, call: Caller) -> None:
    titles = Pipeline.load(tiny.artifact).dataset.items["title"].to_list()
    asks = [
        ("POST", "/search", {"json": {"text": f"{title} {number}", "deadline_ms": 30 + 3 * number, "k": 3}})
        for number, title in enumerate(titles[:120])
    ]
    asks += [("POST", "/trending", {"json": {"k": 3}})] * 20
    answers = [answer.json()["slate"] for answer in call.gather(*asks) if answer.status_code == 200]
    measured = {json.dumps(_plain(values), sort_keys=True): name for name, values in STEPS.items()}
    assert len(answers) > 20
    for slate in answers:
        assert measured[json.dumps(slate["settings"], sort_keys=True)] == slate["rung"]


def _plain(values: Values) -> dict[str, dict[str, str | int | None]]:
    return {name: {"rung": one.rung, "depth": one.depth} for name, one in settings_of(values).items()}


def test_a_vector_that_a_better_rung_made_is_told(call: Caller) -> None:
    by = call.server.answering
    first, second, third, *_ = by.controller.steps
    query = Query(text="heat", k=3)
    slate = call.server._answer(by, first, [query])[0]
    assert (slate.rung, slate.settings["words"].rung) == ("as fitted", "")  # type: ignore[union-attr]
    slate = call.server._answer(by, third, [query])[0]
    assert slate.settings == {**third.settings, "words": second.settings["words"]}  # type: ignore[union-attr]
    assert slate.rung == third.name  # type: ignore[union-attr]


def test_steps_are_shown_and_the_floor_leaves_some_out(tiny: Tiny, tmp_path: Path) -> None:
    settings = Settings(artifact=tiny.artifact, events=tmp_path / "events.db", quality_floor=0.93)
    with calling(settings) as call:
        ladder = call("GET", "/ladder").json()
        assert [rung["name"] for rung in ladder["rungs"]] == list(STEPS)[:3]
        assert [rung["milliseconds"] for rung in ladder["rungs"]] == pytest.approx([8.0, 4.0, 2.0])
        assert call.post("/trending", k=2)["slate"]["rung"] in list(STEPS)[:3]
        assert call("GET", "/health").json()["trouble"] is None
        stages = call.server.live.pipeline.stages
        assert isinstance(stages["words"].runner, CachedRungs)  # type: ignore[attr-defined]
        assert type(stages["next"].runner) is type(stages["close"].runner) is Rungs  # type: ignore[attr-defined]


def test_the_ladder_of_another_artifact_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    other = replace(steps_of(tiny), artifact="0" * 64)
    write_steps(other, tmp_path / "ladder")
    with pytest.raises(ArtifactError, match="measured with another artifact; measure this one with `twofold ladder`"):
        Server(
            Settings(artifact=tiny.artifact, events=tmp_path / "events.db", ladder=tmp_path / "ladder"), MemoryStore()
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nxt": Setting(depth=3)}, r"sets a stage 'nxt', which the artifact lacks; did you mean 'next'"),
        ({"lexical": Setting(rung="")}, r"sets the rung of 'lexical', which has no network to exchange"),
        ({"next": Setting(depth=3)}, r"sets the depth of 'next', which takes no candidates"),
    ],
)
def test_what_cannot_be_set_is_refused(tiny: Tiny, tmp_path: Path, settings: dict[str, Setting], message: str) -> None:
    ladder = steps_of(tiny)
    write_steps(replace(ladder, rungs=[replace(ladder.rungs[0], settings=settings)], stages={}), tmp_path / "ladder")
    pipeline = Pipeline.load(tiny.artifact)
    with pytest.raises(ArtifactError, match=message):
        open_ladder(pipeline, ladder.artifact or "", tmp_path / "ladder", threads=1)
    assert not isinstance(pipeline.stages["next"].runner, Rungs)  # type: ignore[attr-defined]
