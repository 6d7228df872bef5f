import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from twofold.core import Encoder, Pipeline, Query, Recipe, Retriever, SparseScores, Weights
from twofold.core.errors import ConfigError
from twofold.core.history import Histories
from twofold.encoders.generate import Doc2Query, Doc2QueryConfig
from twofold.encoders.generate.queries import cleaned

NEW = ["film", "comedy", "robot", "liked", "user", "system", "assistant", "write", "question"]
"""Words that the tiny models know and the catalogue does not have."""
TITLES = ["heat", "alien", None, "toy story", "shrek"]
OPTIONS = {"instruction": "write a question", "opening": "question : what", "tokens": 5, "queries": 3, "minutes": 1.0}


@pytest.fixture
def catalogue(films):
    return films(TITLES, texts=["crime", "space", None, "doll", "ogre"], likes=[[3], [3, 4]])


def written(dataset, folders, family="gpt", linked=None, **options):
    stage = Doc2Query(Doc2QueryConfig(model=str(folders[family]), **OPTIONS, **options))
    stage.linked.update(linked or {})
    return stage.fit(dataset, rng=0)


@pytest.mark.parametrize("family", ["gpt", "chat", "t5"])
def test_items_get_queries_one_a_line(catalogue, folders, family):
    found = written(catalogue, folders, family).expansions.to_list()
    assert found[2] is None  # it says nothing of itself
    assert [line is not None for line in found] == [True, True, False, True, True]
    for lines in found:
        queries = (lines or "").split("\n")
        assert len(set(queries)) == len(queries) <= 3
        if family != "t5" and lines:
            assert all(query.startswith("what ") for query in queries)


def test_a_seed_decides(catalogue, folders):
    assert written(catalogue, folders).expansions.equals(written(catalogue, folders).expansions)


class Scribe:
    """Stands for a generator: gives what was written by hand, and notes what it was asked for."""

    seq2seq = False

    def __init__(self, lines):
        self.lines = lines
        self.asked = []

    def write_until(self, prompts, *_, **__):
        self.asked = [prompt.text.split(".")[0] for prompt in prompts]
        yield 0, self.lines


@pytest.fixture
def scribe(monkeypatch):
    """Let a scribe write in place of a model."""
    from twofold.encoders.generate.model import Generator

    def make(lines):
        made = Scribe(lines)
        monkeypatch.setattr(Generator, "load", lambda _: made)
        return made

    return make


def test_the_most_liked_come_first_and_the_rest_have_none(catalogue, folders, scribe):
    by_hand = scribe([["of heat"]] * 2)
    found = written(catalogue, folders).expansions.to_list()
    assert by_hand.asked == ["toy story", "shrek", "heat", "alien"]
    assert found == [None, None, None, "what of heat", "what of heat"]


class Nearness(Encoder):
    """Vectors by hand: an item is near a query that has its code as many times as it can."""

    reads = ("text",)

    def fit(self, dataset, *, rng=None):
        self.vectors = np.eye(len(dataset.items), dtype=np.float32)
        return self

    def encode(self, values, modality):
        found = np.zeros((len(values), len(self.vectors)), np.float32)
        for row, value in enumerate(values):
            found[row] = [value.count("abcde"[code]) for code in range(len(self.vectors))]
        return found

    def encode_items(self, items):
        raise NotImplementedError


class Finder(Retriever):
    """Finds the item whose letter a query begins with."""

    evidence = ("text",)

    def fit(self, dataset, *, rng=None):
        return self

    def score(self, batch, evidence):
        return SparseScores(Histories.from_lists([["abcde".index(text[0])] for text in batch.texts]))


LETTERS = [["d", "b"], ["eee", "a"], ["aa", "c"], ["b", "d"]]
"""Of the items 3, 4, 0 and 1, in the order in which they are written about."""


def test_the_nearest_share_is_kept(catalogue, folders, scribe, monkeypatch):
    monkeypatch.setitem(OPTIONS, "opening", "")
    scribe(LETTERS)
    judge = {"encoder": Nearness().fit(catalogue)}
    half = written(catalogue, folders, linked=judge, encoder="judge", keep=0.5).expansions.to_list()
    assert half == ["aa", "b", None, "d", "eee"]  # nearness 2, 1, 1 and 3; all others 0
    best = written(catalogue, folders, linked=judge, encoder="judge", keep=0.2).expansions.to_list()
    assert best == ["aa", None, None, None, "eee"]


def test_only_queries_that_find_their_item_are_kept(catalogue, folders, scribe, monkeypatch):
    monkeypatch.setitem(OPTIONS, "opening", "")
    scribe(LETTERS)
    found = written(catalogue, folders, linked={"retriever": Finder()}, retriever="finder", within=1)
    assert found.expansions.to_list() == ["aa", "b", None, "d", "eee"]


def test_a_filter_that_knows_no_text_is_refused(catalogue, folders, monkeypatch):
    monkeypatch.setattr(Nearness, "reads", ("image",))
    monkeypatch.setattr(Finder, "evidence", ("history",))
    for linked, words in (({"encoder": Nearness()}, "reads no text"), ({"retriever": Finder()}, "answers no text")):
        with pytest.raises(ConfigError, match=words):
            written(catalogue, folders, linked=linked)


def test_a_whole_recipe_searches_what_was_written_without_torch(catalogue, folders, tmp_path):
    recipe = Recipe(
        name="r",
        expand={"queries": {"kind": "doc2query", "model": str(folders["gpt"]), **OPTIONS}},
        retrieve={"words": {"kind": "lexical", "expansion": "queries"}, "popular": {"kind": "popularity"}},
        evidence=Weights(text={"words": 1.0}, nothing={"popular": 1.0}),
    )
    pipeline = Pipeline(recipe).fit(catalogue, rng=0)
    lines = pipeline.expanders["queries"].expansions.to_list()
    word = next(word for line in lines if line for word in line.split() if word in NEW)
    expected = {f"i{code}" for code, line in enumerate(lines) if line and word in line.split()}
    found = {pick.item for pick in pipeline.run(Query(text=word)).picks}
    assert expected <= found
    pipeline.save(tmp_path / "artifact")
    program = (
        "import sys; from pathlib import Path; from twofold.core import Pipeline, Query\n"
        "pipeline = Pipeline.load(Path(sys.argv[1]))\n"
        "print(*sorted(pipeline.run(Query(text=sys.argv[2])).items))\n"
        "assert pipeline.expanders['queries'].expansions.null_count() == 1\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "artifact"), word]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert set(answer.stdout.split()) == found
    pipeline.put_items(pl.DataFrame({"item": ["i0", "new"], "title": ["speed", "ogre film"]}))
    assert [line is None for line in pipeline.expanders["queries"].expansions] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    assert "new" in pipeline.run(Query(text="ogre")).items


def test_a_generator_learns_from_queries_and_their_answers(folders):
    from twofold.encoders.generate.model import Generator
    from twofold.encoders.generate.sampling import Lesson, Prompt, Sampling
    from twofold.encoders.generate.tuning import teach
    from twofold.train import Training

    for family in ("gpt", "t5"):
        generator = Generator.load(str(folders[family]))
        asked = {"heat": "crime film", "alien": "robot space"}
        lessons = [Lesson(prompt=Prompt(text=text, instruction="write"), answer=asked[text]) for text in asked]
        report = teach(generator, lessons, Training(steps=100, lr=0.02, precision="float32"), seed=0)
        assert report is not None
        assert report.steps == 100
        likeliest = Sampling(samples=1, temperature=0.0, tokens=4)
        found = generator.write([lesson.prompt for lesson in lessons], likeliest, longest=8, seed=0)
        assert found == [["crime film"], ["robot space"]]
    assert teach(generator, [], Training(steps=1)) is None


def test_the_datasets_queries_are_learned_from(catalogue, folders):
    known = catalogue.with_queries(pl.DataFrame({"text": ["doll film"] * 4, "item": ["i0", "i1", "i3", "i4"]}))
    taught = written(known, folders, train_minutes=0.03, lr=0.02).expansions.to_list()
    assert taught != written(known, folders).expansions.to_list()


def test_an_empty_catalogue_needs_no_model(films):
    stage = Doc2Query(Doc2QueryConfig(model="no such model"))
    assert stage.fit(films([None, ""]), rng=0).expansions.to_list() == [None, None]


@pytest.mark.parametrize(
    "wrong", [{"queries": 0}, {"keep": 0.0}, {"keep": 1.5}, {"minutes": 0.0}, {"train_minutes": -1.0}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ConfigError, match="must be"):
        Doc2QueryConfig(**wrong)


def test_queries_are_cleaned():
    assert cleaned("2. “How fast?”") == "How fast"
    assert cleaned("  a\t b ") == "a b"
    assert cleaned("3)") == ""
    assert cleaned("2001: A Space Odyssey") == "2001: A Space Odyssey"
