"""Rungs of the query encoder, and the cache before them."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import brentq
from tests.serve.conftest import calling
from tests.serve.ladders import searching, words_of, write_encoder, write_ladder

from twofold.core import Pipeline
from twofold.core.errors import ArtifactError
from twofold.core.ladder import Setting
from twofold.core.rungs import apply_settings
from twofold.events import MemoryStore
from twofold.serve.rungs import CachedRungs, VectorCache, open_ladder
from twofold.serve.server import Server, check
from twofold.serve.settings import Settings

WORDS = ["heat", "crime", "space", "love", "war"]


class Lengths:
    """Encodes a text as its length, and keeps what it was asked."""

    dimensions = 1

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: list[str], *, prefix: str = "") -> np.ndarray:
        self.asked += [prefix + text for text in texts]
        return np.array([[len(prefix + text)] for text in texts], np.float32).reshape(-1, 1)


def test_a_text_is_encoded_once_by_each_rung() -> None:
    large, small = Lengths(), Lengths()
    rungs = CachedRungs("text", {"large": large, "small": small}, VectorCache(10))
    assert rungs.encode(["a", "bbb"]).tolist() == [[1], [3]]
    assert rungs.encode(["bbb", "cc", "a"]).tolist() == [[3], [2], [1]]
    assert (large.asked, small.asked) == (["a", "bbb", "cc"], [])
    rungs.current = "small"
    assert rungs.encode(["a"], prefix="find ").tolist() == [[6]]
    assert small.asked == ["find a"]
    spent = rungs.take()
    assert (spent.hits, spent.misses) == (2, 4)
    assert (rungs.take().seconds, rungs.take().hits) == (0.0, 0)


def test_what_a_better_rung_made_is_not_made_again_by_a_worse_one() -> None:
    large, small = Lengths(), Lengths()
    rungs = CachedRungs("text", {"large": large, "small": small}, VectorCache(10))
    rungs.encode(["a"])
    rungs.current = "small"
    assert rungs.encode(["bb", "a"]).tolist() == [[2], [1]]
    assert (small.asked, [rungs.of(text) for text in ("a", "bb")]) == (["bb"], ["large", "small"])
    rungs.current = "large"
    rungs.take()
    rungs.encode(["a", "bb"])
    assert (large.asked, rungs.of("bb")) == (["a", "bb"], "large")


def test_encoders_that_share_a_cache_do_not_share_vectors() -> None:
    cache = VectorCache(10)
    one, other = CachedRungs("one", {"": Lengths()}, cache), CachedRungs("other", {"": Lengths()}, cache)
    assert one.encode(["a"]).tolist() == other.encode(["a"]).tolist()
    assert (one.take().misses, other.take().misses) == (1, 1)


def test_what_was_not_asked_for_longest_makes_room() -> None:
    encoder = Lengths()
    rungs = CachedRungs("text", {"": encoder}, cache := VectorCache(2))
    for text in ("a", "b", "a", "c", "a", "b"):
        rungs.encode([text])
    assert encoder.asked == ["a", "b", "c", "b"]
    assert len(cache) == 2


def test_the_hit_rate_on_searches_of_a_zipf_distribution_is_what_theory_says() -> None:
    """Che, Tung and Wang (2002): a text is kept if it was asked for within a time t, for which the cache is full."""
    texts, kept, asked = 10_000, 1_000, 40_000
    share = 1 / np.arange(1, texts + 1)
    share /= share.sum()
    time = brentq(lambda t: -np.expm1(-share * t).sum() - kept, 1, 1e9)
    theory = float((share * -np.expm1(-share * time)).sum())
    rungs = CachedRungs("text", {"": Lengths()}, VectorCache(kept))
    trace = np.random.default_rng(0).choice(texts, size=asked, p=share)
    for start in range(0, asked, 8):
        if start == asked // 4:
            rungs.take()  # the cache is full now
        rungs.encode([str(text) for text in trace[start : start + 8]])
    spent = rungs.take()
    assert 0.6 < theory < 0.75
    assert spent.hits / (spent.hits + spent.misses) == pytest.approx(theory, abs=0.01)


@pytest.fixture(scope="module")
def words(fitted: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that searches by an encoder, and its ladder beside it."""
    folder, known = tmp_path_factory.mktemp("words"), words_of(fitted.dataset)
    searching(fitted.dataset, write_encoder(folder / "model", known, seed=3)).save(folder / "artifact")
    write_ladder(folder / "ladder", known, seed=3)
    return folder


def test_a_ladder_takes_the_place_of_the_encoder_only_where_both_are_of_one_model(words: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.load(words / "artifact")
    stage, known = pipeline.encoders["words"], words_of(pipeline.dataset)
    texts = pipeline.dataset.items["title"][20:40].to_list()
    own = stage.encode(texts, "text")
    steps, rungs = open_ladder(pipeline, "any", words / "ladder", threads=1)
    assert [(step.name, step.seconds) for step in steps] == [("whole", 0.008), ("small", 0.0005)]
    assert [step.quality for step in steps] == pytest.approx([1.0, 0.95])
    assert [step.settings for step in steps] == [{"words": Setting(rung=name)} for name in ("whole", "small")]
    assert [rung.current for rung in rungs] == ["whole"]
    np.testing.assert_allclose(stage.encode(texts, "text"), own, atol=1e-5)
    apply_settings(pipeline, steps[1].settings)
    near = (stage.encode(texts, "text") * own).sum(axis=1)
    assert (near > 0.8).all()
    assert (near < 0.9999).all()
    assert rungs[0].take().seconds > 0

    stranger = Pipeline.load(words / "artifact")
    runner = stranger.encoders["words"].runner
    write_ladder(tmp_path / "other", known, seed=5)
    with pytest.raises(ArtifactError, match=r"whole gives other vectors than the encoder that encoded the items"):
        open_ladder(stranger, "any", tmp_path / "other")
    assert stranger.encoders["words"].runner is runner


def test_a_rung_of_another_width_is_told_in_a_sentence(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline.load(words / "artifact")
    wide = np.ones((16, 32), np.float32)
    monkeypatch.setattr(pipeline.encoders["words"], "_runtime", SimpleNamespace(dimensions=32, encode=lambda _: wide))
    with pytest.raises(ArtifactError, match=r"whole gives other vectors"):
        open_ladder(pipeline, "any", words / "ladder", threads=1)


def test_a_ladder_of_an_encoder_wants_an_encoder(artifact: Path, words: Path) -> None:
    with pytest.raises(ArtifactError, match=r"of one stage, and the artifact has no encoder of search texts"):
        open_ladder(Pipeline.load(artifact), "any", words / "ladder")


def test_a_ladder_beside_the_artifact_answers_and_slates_say_by_which_rung(words: Path, tmp_path: Path) -> None:
    settings = Settings(artifact=words / "artifact", events=tmp_path / "events.db")
    text = Pipeline.load(words / "artifact").dataset.items["title"][0]
    with calling(settings) as call:
        found = call.post("/search", text=text, k=5)["slate"]
        assert found["rung"] == "whole"
        again = call.post("/search", text=text, k=4)["slate"]
        assert [pick["item"] for pick in again["picks"]] == [pick["item"] for pick in found["picks"][:4]]
        assert found["settings"] == {"words": {"rung": "whole", "depth": None}}
        assert call.post("/trending")["slate"]["rung"] == "whole"
        ladder = call("GET", "/ladder").json()
        assert [rung["name"] for rung in ladder["rungs"]] == ["whole", "small"]
        assert [rung["quality"] for rung in ladder["rungs"]] == pytest.approx([1.0, 0.95])
        assert ladder["current"] == "whole"
        assert ladder["rungs"][0]["question_milliseconds"] > ladder["rungs"][1]["question_milliseconds"] > 0
        metrics = call("GET", "/metrics").text
        assert 'twofold_query_vectors_total{cache="hit"} 1.0' in metrics
        assert 'twofold_query_vectors_total{cache="miss"} 1.0' in metrics
        assert 'twofold_answers_by_rung_total{rung="whole"} 3.0' in metrics


def test_new_items_are_encoded_by_the_artifacts_own_encoder(words: Path, tmp_path: Path) -> None:
    with calling(Settings(artifact=words / "artifact", events=tmp_path / "events.db")) as call:
        stage = call.server.live.pipeline.encoders["words"]
        stage.runner.current = "small"
        title = stage.encode_items(call.server.live.pipeline.dataset.items[:1])
        np.testing.assert_allclose(title, stage.vectors[:1], atol=1e-5)


def test_a_floor_leaves_rungs_out(words: Path, tmp_path: Path) -> None:
    settings = Settings(artifact=words / "artifact", events=tmp_path / "events.db", quality_floor=0.96)
    with calling(settings) as call:
        assert [rung["name"] for rung in call("GET", "/ladder").json()["rungs"]] == ["whole"]


def test_a_ladder_of_another_model_beside_the_artifact_is_told_and_left_alone(words: Path, tmp_path: Path) -> None:
    shutil.copytree(words / "artifact", tmp_path / "artifact")
    dataset = Pipeline.load(words / "artifact").dataset
    write_ladder(tmp_path / "ladder", words_of(dataset), seed=8)
    with calling(Settings(artifact=tmp_path / "artifact", events=tmp_path / "events.db")) as call:
        assert call.post("/search", text=dataset.items["title"][0])["slate"]["rung"] is None
        assert call("GET", "/ladder").json()["rungs"] == []
        assert "gives other vectors" in call("GET", "/health").json()["trouble"]


def test_a_ladder_that_is_named_must_be_there(words: Path, tmp_path: Path) -> None:
    settings = Settings(artifact=words / "artifact", events=tmp_path / "events.db", ladder=tmp_path)
    for start in (lambda: check(settings), lambda: Server(settings, MemoryStore())):
        with pytest.raises(ArtifactError, match="no ladder at"):
            start()
    with calling(replace(settings, ladder=words / "ladder")) as call:
        assert call("GET", "/ladder").json()["current"] == "whole"
