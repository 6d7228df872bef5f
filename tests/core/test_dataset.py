from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Histories, IdMap
from twofold.core.errors import DataError


@pytest.fixture
def data() -> Dataset:
    items = pl.DataFrame(
        {
            "item": ["a", "007", "c"],
            "title": ["Ä", "", None],
            "text": ["one\ntwo", None, None],
            "categories": [["Drama", "War"], [], None],
            "year": [1999, 2005, None],
            "price": [1.5, None, 3.0],
            "free": [True, False, None],
        }
    )
    log = Histories.from_events(
        np.array([1, 0, 1, 1]), np.array([0, 1, 2, 0]), np.array([1, 0.5, -1, 0.25]), np.array([5, 6, 7, 8]), size=3
    )
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series([5, 4_000_000_000, 6])),
        items=items,
        users=pl.DataFrame({"user": [5, 4_000_000_000, 6]}),
        log=log,
        provenance={"source": "Büro"},
    )


def test_interactions_bear_the_callers_ids(data: Dataset) -> None:
    assert data.interactions.rows() == [
        (5, "007", 6, 0.5),
        (4_000_000_000, "a", 5, 1.0),
        (4_000_000_000, "c", 7, -1.0),
        (4_000_000_000, "a", 8, 0.25),
    ]


def test_item_counts_are_likes(data: Dataset) -> None:
    assert data.item_counts.tolist() == [2, 1, 0]


def test_an_item_without_a_title_is_called_by_its_id(data: Dataset) -> None:
    assert data.titles(np.array([2, 1, 0], np.int32)) == ["c", "007", "Ä"]


@pytest.mark.parametrize(
    ("filters", "passed"),
    [
        ({}, [True, True, True]),
        ({"year": 1999}, [True, False, False]),
        ({"year": 1999.0}, [True, False, False]),
        ({"title": "Ä"}, [True, False, False]),
        ({"item": "007"}, [False, True, False]),
        ({"free": False}, [False, True, False]),
        ({"year": [1999, 2005, 7]}, [True, True, False]),
        ({"year": []}, [False, False, False]),
        ({"year": {"min": 2000}}, [False, True, False]),
        ({"year": {"min": 1999, "max": 1999}}, [True, False, False]),
        ({"price": {"max": 3}}, [True, False, True]),
        ({"year": {}}, [True, True, False]),
        ({"categories": "War"}, [True, False, False]),
        ({"categories": ["War", "Comedy"]}, [True, False, False]),
        ({"categories": "war"}, [False, False, False]),
        ({"year": {"min": 1990}, "price": {"min": 2}}, [False, False, False]),
        ({"title": "a' OR 1=1"}, [False, False, False]),
        ({"year": 10**30}, [False, False, False]),
    ],
)
def test_filters(data: Dataset, filters: dict[str, Any], passed: list[bool]) -> None:
    assert data.eligible(filters).tolist() == passed


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"yaer": 1999}, "'yaer', which no item has; filter by one of item, title"),
        ({"year": "1999"}, "year = '1999' does not fit a column of Int64"),
        ({"title": 5}, "does not fit a column of String"),
        ({"year": [1999, "x"]}, "does not fit"),
        ({"year": {"min": "x"}}, "does not fit"),
        ({"categories": 5}, "does not fit"),
        ({"year": object()}, "does not fit"),
        ({"year": {"minimum": 1999}}, "no range; give `min`, `max`"),
        ({"year": None}, "year has no value"),
    ],
)
def test_wrong_filters_are_refused(data: Dataset, filters: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.eligible(filters)


def test_tables_must_be_aligned(data: Dataset) -> None:
    for part in ({"items": data.items[:2]}, {"users": data.users[:2]}, {"log": Histories.empty(2)}):
        with pytest.raises(ValueError, match="aligned"):
            replace(data, **part)


def test_the_fingerprint_follows_the_data(data: Dataset) -> None:
    log = data.log
    others = [
        data.with_log(replace(log, items=log.items[::-1].copy())),
        data.with_log(replace(log, values=-log.values)),
        data.with_log(replace(log, timestamps=log.timestamps + 1)),
        data.with_log(log.likes()),
        replace(data, items=data.items.with_columns(title=pl.lit("x"))),
        replace(data, item_ids=IdMap(pl.Series(["a", "7", "c"]))),
        replace(data, user_ids=IdMap(pl.Series([5, 4_000_000_001, 6]))),
    ]
    digests = {made.fingerprint() for made in [data, *others]}
    assert len(digests) == 8
    assert replace(data, provenance={}).fingerprint() == data.fingerprint()


def test_what_is_saved_is_loaded(data: Dataset, tmp_path: Path) -> None:
    data.save(tmp_path / "dataset")
    found = Dataset.load(tmp_path / "dataset")
    assert found.fingerprint() == data.fingerprint()
    assert found.items.equals(data.items)
    assert found.users.equals(data.users)
    assert found.provenance == {"source": "Büro"}
    assert found.item_ids.encode(["007", "7"]).tolist() == [1, -1]
    assert found.user_ids.encode([4_000_000_000]).tolist() == [1]
    assert found.log.row(1).items.tolist() == [0, 2, 0]


def test_a_loaded_log_is_mapped_and_cannot_be_written(data: Dataset, tmp_path: Path) -> None:
    data.save(tmp_path / "dataset")
    log = Dataset.load(tmp_path / "dataset").log
    for array in (log.indptr, log.items, log.values, log.timestamps):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_an_empty_dataset_survives(tmp_path: Path) -> None:
    items = pl.DataFrame(
        schema={"item": pl.String, "title": pl.String, "text": pl.String, "categories": pl.List(pl.String)}
    )
    users = pl.DataFrame(schema={"user": pl.Int64})
    data = Dataset(
        item_ids=IdMap(items["item"]), user_ids=IdMap(users["user"]), items=items, users=users, log=Histories.empty(0)
    )
    data.save(tmp_path / "dataset")
    assert Dataset.load(tmp_path / "dataset").fingerprint() == data.fingerprint()
    assert data.eligible({"title": "x"}).tolist() == []
    assert data.interactions.is_empty()


def test_items_are_added_and_described_anew(data: Dataset) -> None:
    new = pl.DataFrame({"item": ["new", "c"], "title": ["New", "See"], "year": [None, 2001]})
    more, changed = data.with_items(new)
    assert changed.tolist() == [2, 3]
    assert more.item_ids.ids.to_list() == ["a", "007", "c", "new"]
    assert more.items.select("item", "title", "year", "price").rows() == [
        ("a", "Ä", 1999, 1.5),
        ("007", "", 2005, None),
        ("c", "See", 2001, 3.0),
        ("new", "New", None, None),
    ]
    assert more.item_counts.tolist() == [2, 1, 0, 0]
    assert len(data.items) == 3


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ({"title": ["x"]}, "no column 'item'"),
        ({"item": ["x"], "titel": ["x"]}, "did you mean 'title'"),
        ({"item": ["x", "x"]}, "an id twice"),
        ({"item": ["x", None]}, "without an id"),
        ({"item": ["x"], "year": ["soon"]}, "do not fit"),
    ],
)
def test_new_items_that_do_not_fit_are_refused(data: Dataset, new: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        data.with_items(pl.DataFrame(new))


ANSWERS = pl.DataFrame({"text": ["ä one", "two"], "item": ["c", "007"]})


def test_a_query_that_was_clicked_has_grade_1_and_no_time(data: Dataset) -> None:
    assert data.with_queries(ANSWERS).queries.rows() == [("ä one", "c", 1.0, None), ("two", "007", 1.0, None)]


def test_queries_are_saved_and_enter_the_fingerprint(data: Dataset, tmp_path: Path) -> None:
    known = data.with_queries(ANSWERS.with_columns(grade=pl.Series([0, 2]), timestamp=pl.Series([7, None])))
    known.save(tmp_path / "data")
    loaded = Dataset.load(tmp_path / "data")
    assert loaded.queries.rows() == [("ä one", "c", 0.0, 7), ("two", "007", 2.0, None)]
    assert loaded.fingerprint() == known.fingerprint() != data.fingerprint()
    assert data.with_queries(ANSWERS[:0]).fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    ("queries", "complaint"),
    [
        (ANSWERS.drop("item"), "no column 'item'"),
        (ANSWERS.with_columns(x=pl.lit(1)), "a column 'x'"),
        (ANSWERS.with_columns(item=pl.lit("zz")), "'zz', which is no item"),
        (ANSWERS.with_columns(item=pl.lit(None)), "None, which is no item"),
        (ANSWERS.with_columns(text=pl.lit(None)), "no text"),
        (ANSWERS.with_columns(grade=pl.lit(-1)), "a grade"),
        (ANSWERS.with_columns(grade=pl.lit("good")), "other types"),
    ],
)
def test_queries_that_do_not_fit_are_refused(data: Dataset, queries: pl.DataFrame, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        data.with_queries(queries)
