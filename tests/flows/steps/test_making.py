"""An artifact is measured at settings of its stages, and what nothing beats is written as its ladder."""

import json
import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.flows.steps.tiny import Tiny
from typer.testing import CliRunner

from twofold.cli import app
from twofold.compress.measure import Rounds
from twofold.compress.runtime import GRAPH
from twofold.core import Ladder, Pipeline, Rung
from twofold.core.errors import ArtifactError, ConfigError, DataError
from twofold.core.ladder import LADDER, Setting
from twofold.core.rungs import Rungs, apply_settings, put_ladder
from twofold.evaluate import accuracy
from twofold.flows.steps import Steps, held_out, make_steps, stage_ladders, write_steps
from twofold.flows.steps.bench import Bench
from twofold.flows.steps.making import _kept

BRIEF = Rounds(seconds=0.01, least=2, most=3, warm=1)
OPTIONS = Steps(floor=0.3, minutes=10.0, questions=60, quick=BRIEF, thorough=BRIEF)


@pytest.fixture(scope="module")
def made(tiny: Tiny) -> Ladder:
    return make_steps(tiny.artifact, tiny.ladders, OPTIONS)


def test_steps_are_measured_together_and_keep_the_floor(tiny: Tiny, made: Ladder) -> None:
    assert made.artifact == json.loads((tiny.artifact / "manifest.json").read_text())["sha256"]
    assert {frozenset(step.settings) for step in made.rungs} == {frozenset({"words", "next", "close", "fuse"})}
    for step in made.rungs:
        assert step.quality == min(step.qualities.values()) >= OPTIONS.floor
        assert step.quality_low is not None
        assert step.quality_high is not None
        assert step.quality_low <= step.quality <= step.quality_high
        assert step.milliseconds == pytest.approx(np.mean([step.times["text"], step.times["history"]]))
        assert step.network_milliseconds is not None
        assert 0 <= step.network_milliseconds < step.milliseconds
    times, qualities = ([getattr(step, name) for step in made.rungs] for name in ("milliseconds", "quality"))
    assert times == sorted(times, reverse=True)
    assert qualities == sorted(qualities, reverse=True)
    assert len(made.protocol["tried"]) >= 12
    assert made.protocol["tried"]["as fitted"][0] == 1.0
    assert made.protocol["ended"] == "all that was worth trying was tried"
    brief = make_steps(tiny.artifact, {}, replace(OPTIONS, minutes=1e-6))
    assert list(brief.protocol["tried"]) == [step.name for step in brief.rungs] == ["as fitted"]
    assert "a larger budget tries more" in brief.protocol["ended"]


def test_the_quality_of_a_step_is_that_of_the_slates_at_its_settings(tiny: Tiny, made: Ladder) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    questions = held_out(pipeline, OPTIONS.questions, np.random.default_rng(0))
    asked = {kind: found.take(np.arange(1, len(found), 2)) for kind, found in questions.items()}

    def quality(kind: str) -> float:
        found = asked[kind]  # type: ignore[index]
        ranking = pipeline.rank(found.batch(pipeline), 10)
        return float(accuracy(ranking.items, ranking.scores, found.targets, ks=(10,))["ndcg@10"].mean())

    whole = {kind: quality(kind) for kind in asked}
    put_ladder(pipeline, made, tiny.artifact, _opened)
    for step in made.rungs:
        apply_settings(pipeline, step.settings)
        assert {kind: quality(kind) / whole[kind] for kind in asked} == pytest.approx(step.qualities)


def _opened(folder: Path, name: str, *, output: str) -> object:
    from twofold.compress.runtime import open_runtime

    return open_runtime(folder, name, output=output, threads=1)


def test_a_ladder_of_another_encoder_is_refused_before_anything_is_measured(tiny: Tiny, tmp_path: Path) -> None:
    from tests.serve.ladders import words_of, write_ladder

    write_ladder(tmp_path / "words", words_of(Pipeline.load(tiny.artifact).dataset), seed=9)
    with pytest.raises(ArtifactError, match="gives other vectors than the encoder that encoded the items"):
        make_steps(tiny.artifact, {"words": tmp_path / "words"}, OPTIONS)


def test_a_rung_of_a_sequential_model_of_another_width_is_refused(tiny: Tiny) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    stage = pipeline.stages["next"]
    with pytest.raises(ArtifactError, match="gives states of 8 numbers, not 16; make the ladder from this artifact"):
        stage.open_rung(Path("wide"), lambda _: np.zeros((1, 8), np.float32), pipeline.dataset)  # type: ignore[attr-defined]


def test_the_ladder_is_written_with_the_rungs_that_its_steps_use(tiny: Tiny, made: Ladder, tmp_path: Path) -> None:
    top = replace(made.rungs[0], name="top", milliseconds=9.0)
    settings = {"words": Setting(rung="small"), "next": Setting(rung=""), "close": Setting(rung="", depth=0)}
    low = replace(top, name="low", milliseconds=2.0, settings={**top.settings, **settings})
    top = replace(top, settings={name: replace(one, rung=one.rung and "") for name, one in top.settings.items()})
    written = write_steps(replace(made, rungs=[top, low]), tmp_path / "ladder")
    assert Ladder.read(tmp_path / "ladder") == written
    assert {name: [rung.name for rung in one.rungs] for name, one in written.stages.items()} == {"words": ["small"]}
    assert (tmp_path / "ladder" / "words" / "0" / GRAPH).read_bytes() == (tiny.words / "small" / GRAPH).read_bytes()
    assert not (tmp_path / "ladder" / "next").exists()
    write_steps(replace(made, rungs=[top]), tmp_path / "ladder")
    assert len(Ladder.read(tmp_path / "ladder").rungs) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ladder"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(ArtifactError, match="exists and is no ladder; give another folder"):
        write_steps(made, tmp_path / "mine")


def test_a_step_that_was_altered_or_whose_rung_was_is_refused(made: Ladder, tmp_path: Path) -> None:
    low = {name: replace(one, rung=one.rung and "small") for name, one in made.rungs[0].settings.items()}
    low["words"] = Setting(rung="small")
    write_steps(replace(made, rungs=[replace(made.rungs[0], settings=low)]), tmp_path / "ladder")
    shutil.copytree(tmp_path / "ladder", tmp_path / "other")
    file = tmp_path / "ladder" / LADDER
    table = json.loads(file.read_text())
    table["rungs"][0]["settings"]["fuse"]["depth"] = 11  # a combination that nobody measured
    file.write_text(json.dumps(table))
    with pytest.raises(ArtifactError, match="was altered"):
        Ladder.read(tmp_path / "ladder")
    with (tmp_path / "other" / "words" / "0" / GRAPH).open("ab") as graph:
        graph.write(b"more")
    with pytest.raises(ArtifactError, match=r"model.onnx was altered"):
        Ladder.read(tmp_path / "other")


def test_a_ladder_finds_its_stage_by_what_it_says(tiny: Tiny, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny.words, bare)
    Ladder(rungs=Ladder.read(bare).rungs, protocol={"name": "minilm", "what": "text encoder"}).write(bare)
    assert stage_ladders(tiny.artifact, [tiny.next, bare]) == {"next": tiny.next, "words": bare}
    with pytest.raises(ConfigError, match=r"are both of 'next'; leave one out"):
        stage_ladders(tiny.artifact, [tiny.next, tiny.next])
    strange = tmp_path / "strange"
    shutil.copytree(tiny.next, strange)
    Ladder(rungs=Ladder.read(strange).rungs, protocol={"name": "lexical"}).write(strange)
    with pytest.raises(ConfigError, match=r"is of 'lexical', and .* has no text encoder, sequential model or cross-"):
        stage_ladders(tiny.artifact, [strange])


def step(name: str, quality: float, milliseconds: float) -> Rung:
    return Rung(name=name, quality=quality, milliseconds=milliseconds, bytes=0)


def test_only_steps_that_keep_the_floor_and_are_worth_it_are_kept() -> None:
    steps = [step("a", 1.0, 10), step("b", 0.99, 9.5), step("c", 0.98, 5), step("d", 0.97, 6), step("e", 0.5, 1)]
    assert [one.name for one in _kept(steps, Steps(floor=0.6))] == ["a", "c"]
    many = [step(str(place), 1 - place / 100, 100 * 0.5**place) for place in range(12)]
    many[5] = replace(many[5], milliseconds=many[6].milliseconds * 1.2)
    kept = [one.name for one in _kept(many, Steps(most=11))]
    assert kept == [str(place) for place in range(12) if place != 5]
    assert len(_kept(many, Steps(most=3))) == 3


def test_rungs_in_place_are_timed(tiny: Tiny, made: Ladder) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    put = put_ladder(pipeline, made, tiny.artifact, _opened)
    assert sorted(put) == ["close", "next", "words"]
    assert all(isinstance(rungs, Rungs) and next(iter(rungs.sizes)) == "" for rungs in put.values())


def test_the_command_writes_the_ladder_beside_the_artifact(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.flows.steps.Steps", partial(Steps, questions=60, quick=BRIEF, thorough=BRIEF))
    shutil.copytree(tiny.artifact, tmp_path / "films")
    options = ["--budget", "1s", "--quality-floor", "0.3"]
    found = CliRunner().invoke(app, ["ladder", str(tmp_path / "films"), str(tiny.next), *options])
    assert found.exit_code == 0, found.output
    ladder = Ladder.read(tmp_path / "films-ladder")
    assert set(ladder.rungs[0].settings) == {"next", "close", "fuse"}
    assert ladder.rungs[0].name in found.output
    alone = CliRunner().invoke(app, ["ladder", str(tmp_path / "films"), "--queries", "asked.csv"])
    assert alone.exit_code == 2


def test_where_answers_take_long_fewer_questions_choose(tiny: Tiny) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    questions = {"history": held_out(pipeline, 110, np.random.default_rng(0))["history"]}
    assert len(questions["history"]) > 90
    long, short = (Bench(pipeline, [], questions, {}, seconds=seconds).parts for seconds in (1e-9, math.inf))  # type: ignore[arg-type]
    assert len(long["choose"]["history"]) == 40
    assert {len(long["report"]["history"]), len(short["report"]["history"])} == {len(questions["history"]) // 2}
    assert len(short["choose"]["history"]) == (len(questions["history"]) + 1) // 2


def test_a_pipeline_that_finds_no_answer_has_no_quality_to_keep(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {"ndcg@10": np.zeros(8)}
    monkeypatch.setattr("twofold.flows.steps.bench.accuracy", lambda *_, **__: nothing)
    pipeline = Pipeline.load(tiny.artifact)
    questions = {"text": held_out(pipeline, 110, np.random.default_rng(0))["text"]}
    with pytest.raises(DataError, match=r"finds none of the answers to \d+ questions by text"):
        Bench(pipeline, [], questions, {})  # type: ignore[arg-type]
