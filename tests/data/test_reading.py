import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from twofold.core.errors import DataError
from twofold.data.reading import read_and_clean, read_data, read_dataset

EVENTS = {"user": ["b", "a", "b"], "item": [10, 20, 4_000_000_000], "rating": [5.0, 1.0, 3.0], "timestamp": [3, 2, 1]}
EXPECTED = [("b", 4_000_000_000, 1000, 0.0), ("b", 10, 3000, 1.0), ("a", 20, 2000, -1.0)]

MEASURE = """
import sys, time
from twofold.data.reading import read_data
import polars as pl
def peak():  # not ru_maxrss: a child takes over its parent's
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
pl.DataFrame({"a": ["1"]}).select(pl.col("a").cast(pl.Int64))
before = peak()
start = time.perf_counter()
dataset = read_data(sys.argv[1])
seconds = time.perf_counter() - start
print(len(dataset.log.items), seconds, peak() - before)
"""


def test_frames_of_polars() -> None:
    frame = pl.DataFrame(EVENTS)
    assert read_dataset(frame).interactions.rows() == EXPECTED
    assert read_dataset(frame.lazy()).interactions.rows() == EXPECTED


def test_frames_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(EVENTS)
    assert read_dataset(frame).interactions.rows() == EXPECTED
    assert read_dataset(frame[frame["rating"] > 0]).interactions.rows() == EXPECTED
    dates = frame.assign(timestamp=pandas.to_datetime(frame["timestamp"], unit="s"))
    assert read_dataset(dates).interactions.rows() == EXPECTED


def test_frames_of_pandas_with_gaps_and_mixed_ids() -> None:
    pandas = pytest.importorskip("pandas")
    result = read_and_clean(pandas.DataFrame({"user": [1, None, 3], "item": [7, "x", "7"]}))
    assert result.dataset.interactions.select("user", "item").rows() == [(1, "7"), (3, "7")]
    assert result.rejected.rows() == [(2, "no user", "user=? item=x")]


def test_tables_of_pyarrow() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    assert read_dataset(pyarrow.table(EVENTS)).interactions.rows() == EXPECTED


def test_frames_of_dask() -> None:
    dask = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    frame = dask.from_pandas(pandas.DataFrame(EVENTS), npartitions=2)
    assert read_dataset(frame).interactions.rows() == EXPECTED


def test_files_of_every_kind_give_one_dataset(tmp_path: Path) -> None:
    frame = pl.DataFrame(EVENTS)
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    prints = {read_data(tmp_path / f"a.{kind}").fingerprint() for kind in ("csv", "tsv", "parquet", "jsonl")}
    assert prints == {read_dataset(frame).fingerprint()}


def test_columns_are_mapped_in_all_tables(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("who,what,stars\n007,a,5\n8,b,1\n")
    (tmp_path / "items.csv").write_text("what,label,about\na,Apple,red\nc,Cherry,small\n")
    (tmp_path / "users.csv").write_text("who,age\n8,30\n9,40\n")
    columns = {"user": "who", "item": "what", "title": "label", "text": "about"}
    dataset = read_data(
        tmp_path / "log.csv", items=tmp_path / "items.csv", users=tmp_path / "users.csv", columns=columns
    )
    assert dataset.users.rows() == [("007", None), ("8", 30), ("9", 40)]
    assert dataset.items.select("item", "title", "text").rows() == [
        ("a", "Apple", "red"),
        ("c", "Cherry", "small"),
        ("b", None, None),
    ]
    assert dataset.provenance["guessed"]["interactions"] == ["rating"]


def test_more_about_items_of_a_movielens_folder(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,4.0,1\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n2,Jumanji (1995),Fantasy\n3,Heat (1995),Crime\n")
    more = pl.DataFrame({"movieId": [3, 5], "overview": ["A thief.", "New."], "budget": [60, 1]})
    dataset = read_data(tmp_path, items=more)
    assert dataset.items.select("item", "title", "text", "year", "budget").rows() == [
        (2, "Jumanji", None, 1995, None),
        (3, "Heat", "A thief.", 1995, 60),
        (5, None, "New.", None, 1),
    ]


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="the interactions are a list, which is no table"):
        read_dataset([(1, 2)])


def test_reading_imports_neither_pandas_nor_torch() -> None:
    heavy = "('pandas', 'pyarrow', 'dask', 'torch')"
    code = f"import sys, twofold.data.reading; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_million_interactions_take_little_time_and_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    size = 1_000_000
    path = tmp_path / "ratings.csv"
    pl.DataFrame(
        {
            "userId": np.sort(rng.integers(1, 6041, size)),
            "movieId": rng.integers(1, 3953, size),
            "rating": rng.integers(1, 11, size) / 2,
            "timestamp": rng.integers(956_703_932, 1_046_454_590, size),
        }
    ).write_csv(path)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    kept, seconds, peak = map(float, done.stdout.split())
    assert kept > 999_000
    assert seconds < 10  # about 0.8 on two idle cores; the bound leaves room for a busy machine
    assert peak < 8 * os.path.getsize(path)  # about 5.5 times
