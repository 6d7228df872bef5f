import numpy as np
import polars as pl

from twofold.core import Dataset
from twofold.data import dataset_of
from twofold.flows.searches import asked, made_up


def documents(titles: list[str | None], texts: list[str | None]) -> Dataset:
    ids = [f"d{place}" for place in range(len(titles))]
    types = {"item": pl.String, "title": pl.String, "text": pl.String}
    return dataset_of(pl.DataFrame({"item": ids, "title": titles, "text": texts}, schema=types))


def test_a_text_is_one_search_with_all_its_right_answers() -> None:
    rows = {"text": ["b", "a", "b", "c"], "item": ["d2", "d0", "d1", "d0"], "grade": [2.0, 1.0, 1.0, 0.0]}
    searches = asked(documents(["x", "y", "z"], ["t"] * 3).with_queries(pl.DataFrame(rows)))
    assert searches.texts == ["b", "a"]
    assert searches.targets.indptr.tolist() == [0, 2, 3]
    assert searches.targets.items.tolist() == [2, 1, 0]
    assert searches.targets.values.tolist() == [2, 1, 1]


def test_nothing_was_asked() -> None:
    assert len(asked(documents(["x"], ["y"]))) == 0


def test_titles_become_searches_and_leave_their_items() -> None:
    dataset = documents(["one", "twin", None, "twin", " ", "six", "seven"], ["a", "b", "c", "d", "e", None, "g"])
    hidden, searches, codes = made_up(dataset, 10, np.random.default_rng(0))
    assert searches.texts == ["one", "seven"]
    assert codes.tolist() == searches.targets.items.tolist() == [0, 6]
    assert hidden.items["title"].to_list() == [None, "twin", None, "twin", " ", "six", None]
    assert hidden.items["text"].equals(dataset.items["text"])
    assert dataset.items["title"][0] == "one"


def test_at_most_so_many_are_made_up() -> None:
    dataset = documents([f"title {number}" for number in range(50)], ["text"] * 50)
    hidden, searches, codes = made_up(dataset, 7, np.random.default_rng(0))
    assert len(searches) == len(codes) == hidden.items["title"].null_count() == 7
    assert (np.diff(codes) > 0).all()
    again = made_up(dataset, 7, np.random.default_rng(0))
    assert again[1].texts == searches.texts
