import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from twofold.core import Batch, Dataset, Expander, Histories
from twofold.core.config import build, table
from twofold.core.errors import ConfigError, DataError
from twofold.core.stage import link
from twofold.retrieval.lexical import Lexical, LexicalConfig, Like

TITLES = ["The Matrix", "Matrix Reloaded", "Toy Story", "Toy Soldiers", "Amélie", "Heat", "It"]


def ask(text, *, allowed=None):
    batch = Batch.of_texts([text])
    return Batch(histories=batch.histories, seeds=batch.seeds, texts=[text], allowed=allowed)


def found(stage, text, *, allowed=None, k=10):
    batch = ask(text, allowed=None if allowed is None else np.array([allowed]))
    items = stage.score(batch, "text").top(k, batch.allowed)[0][0]
    return items[items >= 0].tolist()


@pytest.fixture
def films(catalogue):
    return Lexical().fit(catalogue(TITLES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("heat", [5]),
        ("HEATING", [5]),  # stemmed
        ("amelie", [4]),  # folded
        ("toy sto", [2, 3]),  # the last word may go on
        ("sto toy", [2, 3]),
        ("sto ", []),  # an ended word may not
        ("matirx", [0, 1]),  # swapped
        ("solders", [3]),  # left out
        ("relaoded", [1]),
        ("hat", []),  # too short for a typo
        ("it", [6]),  # a stop word alone
        ("the matrix", [0, 1]),
    ],
)
def test_search(films, text, expected):
    assert found(films, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " \n\t",
        "...!?",
        "😀",
        "x" * 10_000,
        "\0",
        "\ud800",
        "电影",
        'title:"zz" AND (',
        "+-&&||!(){}[]^~*?:\\/",
    ],
)
def test_texts_without_a_known_word_find_nothing(films, text):
    assert found(films, text) == []


@pytest.mark.parametrize(
    "text",
    [
        'title:"toy" AND (',
        "toy OR NOT",
        "toy*",
        "-toy",
        "toy^9",
        "“toy”",
        "toy 😀",
        "toy 电影",
        "(toy",
        "TOY\0",
        "toy\ud800",
    ],
)
def test_query_syntax_is_only_text(films, text):
    assert set(found(films, text)) >= {2, 3}


def test_a_long_text_counts_its_rarest_words(catalogue):
    stage = Lexical(LexicalConfig(words=2)).fit(catalogue(["common rare", "common", "common odd", "other"]))
    assert found(stage, "common rare odd") == [0, 2]
    assert set(found(stage, ("word " * 1999 + "rare ")[-10_000:])) == {0}


def test_no_text_has_no_hits(films):
    assert found(films, None) == []


def test_bm25_by_hand(catalogue):
    """Two of three items have the word; all have two words, so a term counts its idf in every field."""
    stage = Lexical(LexicalConfig(title=0.5, typos=())).fit(catalogue(["red fox", "red hen", "old owl"]))
    scores = stage.score(ask("red "), "text").at(np.array([[0, 1, 2]], np.int32))[0]
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    assert scores[:2] == pytest.approx([1.5 * idf, 1.5 * idf], rel=1e-5)
    assert np.isnan(scores[2])


def test_a_match_in_the_title_counts_more(catalogue):
    dataset = catalogue(["owl", "fox"], ["fox", "owl"], [["x"], ["x"]])
    assert found(Lexical().fit(dataset), "fox") == [1, 0]
    assert found(Lexical().fit(dataset), "owl") == [0, 1]


def test_categories_and_attributes_are_searched(catalogue):
    dataset = catalogue(
        ["one", "two", "three"],
        categories=[["Film Noir"], None, []],
        director=[None, "Jane Campion", ""],
        tags=[["slow"], [None], None],
        year=[1944, 1993, 2001],
    )
    stage = Lexical(LexicalConfig(attributes=0.5, categories=0.5)).fit(dataset)
    assert [found(stage, text) for text in ("noir", "campion", "slow", "1993")] == [[0], [1], [0], []]


def test_words_as_typed_come_before_similar_ones(catalogue):
    stage = Lexical().fit(catalogue(["matrix matrix matrix", "the matrux among other words here", "matrix"]))
    assert found(stage, "matrux") == [1, 0, 2]


def test_similar_words_are_not_added_where_words_as_typed_find_enough(catalogue):
    stage = Lexical().fit(catalogue(["table"] * 10 + ["cable"] * 12))
    assert found(stage, "table ", k=30) == list(range(10))


def test_a_rarer_similar_word_is_not_added(catalogue):
    stage = Lexical().fit(catalogue(["table", "table", "cable"]))
    assert found(stage, "table ") == [0, 1]
    assert found(stage, "cable ") == [2, 0, 1]


def test_prefixes_and_typos_can_be_turned_off(catalogue):
    stage = Lexical(LexicalConfig(prefix=False, typos=())).fit(catalogue(TITLES))
    assert found(stage, "mat") == found(stage, "matirx") == []


def test_equal_scores_are_ordered_by_code(catalogue):
    stage = Lexical(LexicalConfig(hits=5)).fit(catalogue(["same title"] * 20))
    assert found(stage, "same") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("left", [range(2_900, 3_000), range(20, 3_000), [*range(2), *range(400, 3_000)]])
def test_filters_leave_as_many_hits_as_there_are(catalogue, left):
    """Item 0 is the best, as its text is the shortest; 8 of the first 10, or nearly all, are filtered."""
    stage = Lexical(LexicalConfig(hits=20)).fit(
        catalogue(["fox " + "filler " * (code // 100) for code in range(3_000)])
    )
    allowed = np.zeros(3_000, bool)
    allowed[list(left)] = True
    assert found(stage, "fox", allowed=allowed, k=10) == list(left)[:10]
    assert len(found(stage, "fox", allowed=allowed, k=100)) == 20


def test_filters_that_leave_less_or_nothing(films):
    assert found(films, "toy", allowed=np.arange(7) == 3) == [3]
    assert found(films, "toy", allowed=np.arange(7) == 5) == []
    assert found(films, "toy", allowed=np.zeros(7, bool)) == []


def test_typos_are_looked_for_among_what_filters_leave(films):
    assert found(films, "matirx", allowed=np.arange(7) == 1) == [1]


def test_batches_answer_row_by_row(films):
    scores = films.score(Batch.of_texts(["toy", "...", "heat"]), "text")
    assert [scores.found.row(row).items.tolist() for row in range(3)] == [[2, 3], [], [5]]
    assert len(films.score(Batch.of_texts([]), "text").found) == 0


CHINESE = ["功夫熊猫", "大话西游", "喜剧之王 King of Comedy", "重庆森林", "卧虎藏龙"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("熊猫", [0]),
        ("功夫熊猫", [0]),
        ("西游", [1]),
        ("喜剧", [2]),
        ("喜剧king", [2]),
        ("猫", [0]),
        ("comedy", [2]),
        ("森林重庆", [3]),
    ],
)
def test_chinese(catalogue, text, expected):
    assert found(Lexical().fit(catalogue(CHINESE)), text) == expected


def like(stage, items, evidence):
    events = Histories.from_lists([items])
    none = Histories.empty(1)
    history, seeds = (events, none) if evidence == "history" else (none, events)
    batch = Batch(histories=history, seeds=seeds, texts=[None])
    return stage.score(batch, evidence), batch


ANIMALS = (
    ["red fox", "arctic fox", "barn owl", "snowy owl", "granite", None],
    ["a hunting mammal", "a mammal of snow", "a hunting bird of night", "a bird of snow and night", None, None],
    [["mammal"], ["mammal"], ["bird"], ["bird"], ["stone"], None],
)


@pytest.mark.parametrize("evidence", ["items", "history"])
def test_items_like_others_share_telling_words(catalogue, evidence):
    stage = Lexical().fit(catalogue(*ANIMALS))
    scores, _ = like(stage, [2], evidence)
    assert scores.top(3)[0][0].tolist() == [2, 3, 0]
    assert like(stage, [4], evidence)[0].top(5)[0][0].tolist() == [4]
    assert like(stage, [5], evidence)[0].found.items.tolist() == []


def test_disliked_and_old_events_do_not_count(catalogue):
    stage = Lexical(LexicalConfig(like=Like(items=1))).fit(catalogue(*ANIMALS))
    history = Histories.from_events(
        np.zeros(3, int), np.array([4, 0, 2]), np.array([1.0, 1.0, -1.0]), np.arange(3), size=1
    )
    scores = stage.score(Batch.of_histories(history), "history")
    assert scores.top(2)[0][0].tolist() == [0, 1]
    assert np.isnan(scores.at(np.array([[4]], np.int32))).all()


def test_contributions_name_the_event_with_the_same_words(catalogue):
    stage = Lexical().fit(catalogue(*ANIMALS))
    for evidence in ("items", "history"):
        _, batch = like(stage, [0, 4, 2], evidence)
        shares = stage.contributions(batch, evidence, np.array([3], np.int32))
        assert shares.shape == (3, 1)
        assert shares[:2].tolist() == [[0], [0]]
        assert 0 < shares[2, 0] < 1
    assert stage.contributions(ask("fox"), "text", np.array([0], np.int32)) is None


def test_facets_count_all_that_match(catalogue):
    dataset = catalogue(
        ["fox", "fox", "owl", "fox"], categories=[["a", "b"], ["b", "b"], ["b"], None], year=[1990, 1990, None, 2000]
    )
    stage = Lexical(LexicalConfig(hits=1)).fit(dataset)
    assert list(stage.facets("fox", "categories").items()) == [("b", 2), ("a", 1)]
    assert stage.facets(None, "categories") == {"b": 3, "a": 1}
    assert stage.facets("fox", "year") == {1990: 2, 2000: 1}
    assert stage.facets("fox", "categories", np.array([False, True, True, True])) == {"b": 1}
    assert stage.facets("...", "categories") == {}
    assert stage.matching("fox").tolist() == [0, 1, 3]
    assert stage.matching("...").tolist() == []
    with pytest.raises(DataError, match="did you mean 'categories'"):
        stage.facets("fox", "category")


def test_snippets(catalogue):
    stage = Lexical().fit(catalogue(["Foxes", "Owl", None], ["The <b>fox</b> & café", None, None]))
    assert stage.snippets("cafe foxes", [0, 1, 2]) == {
        0: "The &lt;b&gt;<b>fox</b>&lt;/b&gt; &amp; <b>café</b>",
        1: "Owl",
    }
    assert stage.snippets("ow", [1]) == {1: "<b>Owl</b>"}
    assert stage.snippets("...", [1]) == {1: "Owl"}


def test_snippets_are_of_the_title_where_the_text_holds_no_hit(catalogue):
    stage = Lexical().fit(catalogue(["Foxes & owls", "Owls"], ["They sleep.", "They hunt foxes."]))
    assert stage.snippets("owl", [0, 1]) == {0: "Foxes &amp; <b>owls</b>", 1: "<b>Owls</b>"}
    assert stage.snippets("fox", [0, 1]) == {0: "<b>Foxes</b> &amp; owls", 1: "They hunt <b>foxes</b>."}
    assert stage.snippets("cat", [0]) == {0: "They sleep."}


def test_saved_and_read_in_another_process_from_a_read_only_folder(catalogue, tmp_path: Path):
    dataset = catalogue([*TITLES, *CHINESE], likes=[3, 1])
    stage = Lexical().fit(dataset)
    folder = tmp_path / "stage"
    folder.mkdir()
    stage.save(folder)
    dataset.save(tmp_path / "dataset")
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(folder.rglob("*"))
    code = (
        "import json, sys; from pathlib import Path; from twofold.core import Batch, Dataset;"
        "from twofold.retrieval.lexical import Lexical;"
        "at = Path(sys.argv[1]); stage = Lexical(); stage.restore(at / 'stage', Dataset.load(at / 'dataset'));"
        "found = stage.score(Batch.of_texts(json.loads(sys.argv[2])), 'text').found;"
        "print(json.dumps([found.items.tolist(), found.values.tolist(), stage.suggest('matirx')]))"
    )
    texts = ["toy sto", "matirx", "熊猫", "..."]
    here = stage.score(Batch.of_texts(texts), "text").found
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path), json.dumps(texts)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out, _ = process.communicate()
        assert json.loads(out) == [here.items.tolist(), here.values.tolist(), ["The Matrix", "Matrix Reloaded"]]
    assert sorted(folder.rglob("*")) == before


def test_an_empty_catalogue(catalogue, tmp_path):
    dataset = catalogue([])
    stage = Lexical().fit(dataset)
    stage.save(tmp_path)
    stage.restore(tmp_path, dataset)
    assert found(stage, "anything") == []
    assert stage.suggest("any") == []
    assert stage.facets(None, "categories") == {}


def test_options_round_trip_and_are_checked():
    config = LexicalConfig(title=0.5, typos=(5,), like=Like(terms=9))
    assert build(LexicalConfig, table(config), "retrieve.lexical") == config
    for wrong in (
        {"title": -1.0},
        {"hits": 0},
        {"typos": [8, 4]},
        {"typos": [1, 2, 3]},
        {"like": {"items": 0}},
        {"language": "xx"},
    ):
        with pytest.raises(ConfigError):
            build(LexicalConfig, wrong, "retrieve.lexical")


class Written(Expander):
    """What was written about the films, by hand."""

    def fit(self, dataset: Dataset, *, rng=None):
        said = ["keanu dodges bullets in a computer", None, "a cowboy doll", None, "a waitress in Paris", None, "it"]
        self.expansions = pl.Series(said, dtype=pl.String)
        return self


@pytest.fixture
def expanded(catalogue):
    dataset = catalogue(TITLES)
    stage = Lexical(LexicalConfig(expansion="queries"))
    stage.linked["expansion"] = Written().fit(dataset)
    return stage.fit(dataset)


def test_what_was_written_about_an_item_is_searched(expanded, films):
    assert found(films, "bullets") == []
    assert found(expanded, "bullets") == [0]
    assert found(expanded, "waitres") == [4]  # its words can be mistyped
    assert found(expanded, "heat") == [5]


def test_what_was_written_is_never_shown_and_no_title(expanded):
    assert expanded.snippets("bullets matrix", [0]) == {0: "The <b>Matrix</b>"}
    assert expanded.suggest("keanu") == []
    assert expanded._index.count("keanu", "title") == 0
    assert expanded._index.count("keanu", "all") == 1


def test_a_saved_index_needs_its_expander_no_more(expanded, catalogue, tmp_path):
    expanded.save(tmp_path)
    read = Lexical(LexicalConfig(expansion="queries"))
    read.restore(tmp_path, catalogue(TITLES))
    assert found(read, "bullets") == [0]


def test_an_item_described_anew_loses_what_was_written(expanded, catalogue):
    dataset = catalogue(["Speed", *TITLES[1:], "Alien"])
    changed = np.array([0, 7], np.int32)
    expanded.linked["expansion"].update(dataset, changed)
    expanded.update(dataset, changed)
    assert found(expanded, "bullets") == []
    assert found(expanded, "cowboy") == [2]
    assert found(expanded, "alien") == [7]


def test_a_recipe_links_an_index_and_its_expander():
    with pytest.raises(ConfigError, match="no expander"):
        link({"words": Lexical(LexicalConfig(expansion="words2")), "words2": Lexical()})
    writer, words = Written(), Lexical(LexicalConfig(expansion="writer"))
    assert list(link({"words": words, "writer": writer})) == ["writer", "words"]
    assert words.linked["expansion"] is writer


@pytest.mark.parametrize("text", ["star", "moon", "matrix", "panda", "熊猫", "strek", "wars"])
def test_an_updated_index_finds_what_a_new_one_finds(catalogue, text):
    before = catalogue(["The Matrix", "Star Wars", "Star Trek", "A Star Is Born", "功夫熊猫"], likes=[1, 2, 3, 4, 5])
    described = pl.DataFrame({"item": ["i1", "i4", "new"], "title": ["Moon", "Panda", "Star"]})
    after, changed = before.with_items(described)
    stage, fresh = Lexical().fit(before), Lexical().fit(after)
    updated = copy.copy(stage)
    updated.update(after, changed)
    assert set(found(updated, text)) == set(found(fresh, text))
    assert updated.suggest(text) == fresh.suggest(text)
    assert found(stage, "wars") == [1]


def test_an_index_is_updated_from_files_that_stay_as_they_are(catalogue, tmp_path):
    before = catalogue(["The Matrix", "Star Wars"])
    Lexical().fit(before).save(tmp_path)
    files = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    stage = Lexical()
    stage.restore(tmp_path, before)
    for number in range(3):
        before, changed = before.with_items(pl.DataFrame({"item": [f"new{number}"], "title": [f"Moon {number}"]}))
        stage.update(before, changed)
    assert sorted(found(stage, "moon")) == [2, 3, 4]
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == files
