"""Stages of an artifact, compressed: tiny networks, trained for a moment."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.encoders.image.conftest import catalogue, encoded, noise
from tests.flows.compress.conftest import CROSS_ENCODER, HEADS, QUICK, WIDTH, write_bert

from twofold.compress.runtime import GRAPH, Feed
from twofold.core import Dataset, Ladder, Pipeline, Query, Recipe
from twofold.core.errors import ConfigError, DataError
from twofold.core.recipe import Weights
from twofold.core.scores import Floats
from twofold.data import add_searches
from twofold.flows.compress import (
    Compress,
    ImageSubject,
    Outcome,
    PairSubject,
    SequentialSubject,
    Subject,
    adopt_rung,
    compress,
    stage_subject,
)
from twofold.flows.compress import search as module
from twofold.flows.compress.coats import coats
from twofold.models.sequential import Sequential


@pytest.fixture(scope="module")
def artifact(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with a lexical retriever, a sequential model and a cross-encoder."""
    folder = tmp_path_factory.mktemp("stages")
    titles = dataset.items["title"].to_list()
    words = sorted({word for title in titles for word in title.lower().split()})
    asked = pl.DataFrame({"text": titles[:60], "item": dataset.items["item"].to_list()[:60]})
    recipe = Recipe(
        name="tiny",
        retrieve={
            "lexical": {"kind": "lexical"},
            "next": {"kind": "sequential", "width": 16, "length": 16, "training": {"epochs": 1, "threads": 1}},
        },
        rank={"close": {**CROSS_ENCODER, "model": str(write_bert(folder / "bert", words))}},
        evidence=Weights(text={"lexical": 1.0}, history={"next": 1.0}),
    )
    pipeline = Pipeline(recipe).fit(add_searches(dataset, asked), rng=0)
    pipeline.save(folder / "artifact")
    return folder / "artifact"


def made(subject: Subject, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    monkeypatch.setattr(module, "coats", lambda: [coat for coat in coats() if coat.name in ("float32", "int8")])
    monkeypatch.setattr("twofold.flows.compress.finishing.memory_of", lambda *_, **__: 1)
    return compress(subject, folder, Compress(floor=0.0, steady=0.0, quick=QUICK, thorough=QUICK))


def test_a_sequential_model_is_compressed(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = stage_subject("next", artifact)
    assert isinstance(subject, SequentialSubject)
    outcome = made(subject, tmp_path, monkeypatch)
    found = {verdict.rung.name: verdict.rung for verdict in outcome.verdicts}
    assert found["float32"].kept == pytest.approx(1.0)
    assert found["int8"].quality > 0
    assert found["int8"].quality == pytest.approx(found["float32"].quality, abs=0.05)
    assert outcome.ladder.teacher is not None
    assert outcome.ladder.teacher.runtime == "onnxruntime"
    assert (outcome.folder / outcome.ladder.rungs[0].folder / GRAPH).is_file()


def test_quality_is_where_the_newest_like_is_ranked(artifact: Path) -> None:
    subject = stage_subject("next", artifact)
    assert isinstance(subject, SequentialSubject)
    stage, (histories, targets) = subject.stage, subject.parts["report"]
    session = stage.sessions[0]
    found = subject.quality(lambda feed: session.run(["states"], dict(feed))[0], artifact, "report")
    for row, target in enumerate(targets.tolist()):
        history = histories.row(row)
        scores = stage.score_histories(history)[0]
        scores[history.items] = -math.inf
        rank = int((scores >= scores[target]).sum()) if target not in history.items else None
        if rank is not None:
            assert found[row] == pytest.approx(1 / math.log2(1 + rank) if rank <= 10 else 0.0)
    assert 0 < found.mean() < 1


def test_networks_that_belong_together_are_not_compressed_one_by_one(artifact: Path) -> None:
    stage = Pipeline.load(artifact).stages["next"]
    assert isinstance(stage, Sequential)
    stage.graphs = stage.graphs * 2
    with pytest.raises(ConfigError, match=r"next has 2 networks.*fit it with members = 1"):
        SequentialSubject(stage, Pipeline.load(artifact).dataset.log, name="next")
    stage.graphs = stage.graphs[:1]
    with pytest.raises(DataError, match="needs 40 users with two likes at least, and there are 0"):
        SequentialSubject(stage, Pipeline.load(artifact).dataset.log.take(np.arange(0)), name="next")


def test_a_cross_encoder_is_compressed(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = stage_subject("close", artifact)
    assert isinstance(subject, PairSubject)
    assert (subject.heads, subject.width) == (HEADS, WIDTH)
    outcome = made(subject, tmp_path, monkeypatch)
    found = {verdict.rung.name: verdict.rung for verdict in outcome.verdicts}
    assert found["float32"].quality == pytest.approx(1.0)  # it is the teacher's own order
    assert 0.8 < found["int8"].quality <= 1.0
    assert found["int8"].bytes < found["float32"].bytes
    assert (outcome.folder / outcome.ladder.rungs[0].folder / "tokenizer.json").is_file()


def test_an_order_that_is_turned_round_keeps_little(artifact: Path) -> None:
    subject = stage_subject("close", artifact)
    assert isinstance(subject, PairSubject)

    def teacher(feed: Feed) -> Floats:  # whose logit is the number of tokens
        found: Floats = feed["attention_mask"].sum(axis=1).astype(np.float32)
        return found

    subject.prepare(teacher, artifact)
    assert subject.quality(teacher, artifact, "report").min() == pytest.approx(1.0)
    assert subject.quality(lambda feed: -teacher(feed), artifact, "report").mean() < 0.7


def test_a_stage_that_is_no_network_is_refused(artifact: Path) -> None:
    with pytest.raises(ConfigError, match="no encoder, sequential model or cross-encoder 'lexical'"):
        stage_subject("lexical", artifact)


@pytest.fixture
def pictured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline with an image encoder: one convolution in place of the real network."""

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        layers = torch.nn.Conv2d(3, 20, 28, stride=28), torch.nn.ReLU(), torch.nn.Flatten()
        return torch.nn.Sequential(*layers).eval()

    monkeypatch.setattr("twofold.encoders.image.efficientnet.read_weights", network)
    for seed in range(50):
        (tmp_path / f"{seed}.png").write_bytes(encoded(noise(seed), "PNG"))
    recipe = Recipe(
        name="look",
        encode={"look": {"kind": "image-encoder", "folder": str(tmp_path), "dimensions": 16, "threads": 1}},
        retrieve={"alike": {"kind": "dense", "encoder": "look"}},
        evidence=Weights(items={"alike": 1.0}),
    )
    names = [f"{seed}.png" for seed in range(50)]
    Pipeline(recipe).fit(catalogue([*names, None]), rng=0).save(tmp_path / "artifact")
    return tmp_path / "artifact"


def test_an_image_encoder_is_compressed(pictured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = stage_subject("look", pictured)
    assert isinstance(subject, ImageSubject)
    assert [len(part) for part in subject.parts.values()] == [25, 25]
    outcome = made(subject, tmp_path / "ladder", monkeypatch)
    found = {verdict.rung.name: verdict.rung for verdict in outcome.verdicts}
    assert found["float32"].quality == pytest.approx(1.0)  # it is the teacher's own likeness
    assert 0.8 < found["int8"].quality <= 1.0
    assert found["int8"].bytes < found["float32"].bytes / 2


def test_likeness_is_asked_of_all_pictures_but_the_one_that_asks(pictured: Path) -> None:
    subject = stage_subject("look", pictured)
    assert isinstance(subject, ImageSubject)
    teacher = subject.stage.graph
    subject.prepare(lambda feed: teacher(**feed), pictured)
    assert subject.quality(lambda feed: teacher(**feed), pictured, "report").min() == pytest.approx(1.0)

    def noisy(feed: Feed) -> Floats:
        found: Floats = np.random.default_rng(0).normal(size=(len(feed["pixels"]), 1280)).astype(np.float32)
        return found

    assert subject.quality(noisy, pictured, "report").mean() < 0.7


def test_too_few_pictures_are_told(pictured: Path, tmp_path: Path) -> None:
    for seed in range(30):
        (tmp_path / f"{seed}.png").unlink()
    with pytest.raises(DataError, match=r"needs 40 pictures at least, and 20 of the catalogue's can be read"):
        stage_subject("look", pictured)


def test_a_rung_takes_the_place_of_a_network(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(stage_subject("next", artifact), tmp_path / "ladder", monkeypatch)
    rung = Ladder.read(tmp_path / "ladder").rungs[0]
    adopted = adopt_rung(artifact, "next", tmp_path / "ladder", rung.name, tmp_path / "small")
    assert adopted.manifest["rungs"] == {"next": rung.name}
    before, after = Pipeline.load(artifact), Pipeline.load(tmp_path / "small")
    stage = after.stages["next"]
    assert isinstance(stage, Sequential)
    assert stage.graphs == [(tmp_path / "ladder" / rung.folder / GRAPH).read_bytes()]
    query = Query(user=before.dataset.user_ids.decode(np.array([0]))[0], k=5)
    assert len(after.run(query)) == 5
    assert Pipeline.load(artifact).stages["next"].graphs != stage.graphs or rung.name == "float32"  # it is as it was


def test_a_rung_of_another_stage_is_refused(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder = tmp_path / "ladder"
    made(stage_subject("next", artifact), ladder, monkeypatch)
    with pytest.raises(ConfigError, match="has no sequential model, cross-encoder or image encoder 'lexical'"):
        adopt_rung(artifact, "lexical", ladder, "int8", tmp_path / "small")
    with pytest.raises(ConfigError, match=r"is of 'next' and not of 'close'; make one with `twofold compress close"):
        adopt_rung(artifact, "close", ladder, "int8", tmp_path / "small")
    with pytest.raises(ConfigError, match="has no rung 'int9'"):
        adopt_rung(artifact, "next", ladder, "int9", tmp_path / "small")
    assert not (tmp_path / "small").exists()
