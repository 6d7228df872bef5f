from pathlib import Path

import polars as pl
import pytest

from twofold.core import Dataset
from twofold.core.errors import DataError
from twofold.data import Simulation, add_searches, simulate


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return simulate(Simulation(users=10, items=20, events=100, seed=1))[0]


def test_searches_come_from_a_file_and_bad_rows_are_counted(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "searches.csv"
    path.write_text(
        "query,item_id,timestamp\nred robot,item-00003,978300760\n ,item-00004,978300761\nblue,item-99999,978300762\n"
    )
    found = add_searches(dataset, path)
    assert found.queries.rows() == [("red robot", "item-00003", 1.0, 978_300_760_000)]
    assert found.provenance["searches"] == {"rows": 3, "used": 1, "without a text": 1, "about unknown items": 1}
    assert not len(dataset.queries)


def test_a_frame_with_grades(dataset: Dataset) -> None:
    frame = pl.DataFrame({"text": ["a", "a"], "item": ["item-00001", "item-00002"], "grade": [2, 0]})
    assert add_searches(dataset, frame).queries["grade"].to_list() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"item": ["item-00001"]}, "no column 'text'"),
        ({"text": ["a"], "thing": ["item-00001"]}, "no column 'item'"),
        ({"text": ["a"], "item": ["nothing"]}, "none of the 1 searches"),
    ],
)
def test_what_cannot_be_used_is_said(dataset: Dataset, columns: dict[str, list[str]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        add_searches(dataset, pl.DataFrame(columns))
