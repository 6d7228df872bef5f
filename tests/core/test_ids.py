import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.core import IdMap

NUMBERS = IdMap(pl.Series([5, 4_000_000_000, -7]))
TEXTS = IdMap(pl.Series(["0", "196", "007", "7", "é"]))


def test_huge_and_sparse_numbers() -> None:
    assert NUMBERS.encode([4_000_000_000, 5, -7, 6]).tolist() == [1, 0, 2, -1]
    assert NUMBERS.encode([5]).dtype == np.int32
    assert NUMBERS.decode([1, 1, 0]) == [4_000_000_000, 4_000_000_000, 5]


def test_a_text_that_spells_a_number_finds_it() -> None:
    assert NUMBERS.encode(["5", "4000000000", "-7"]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "other", ["005", "+5", " 5", "5.0", "5_0", "--5", "-0", "", "-", "٥", "9" * 5_000, 5.0, None, b"5", [5], 10**30]
)
def test_anything_else_is_unknown(other: object) -> None:
    assert NUMBERS.find(other) == -1
    assert other not in NUMBERS


def test_true_is_not_one() -> None:
    assert IdMap(pl.Series([1])).find(True) == -1


def test_007_is_not_7() -> None:
    assert TEXTS.encode(["007", "7", "07"]).tolist() == [2, 3, -1]


def test_a_number_finds_the_text_that_spells_it() -> None:
    assert TEXTS.encode([0, 196, 7, np.int64(196), 8]).tolist() == [0, 1, 3, 1, -1]


@pytest.mark.parametrize(
    ("ids", "column", "codes"),
    [
        (NUMBERS, pl.Series([5, None, 6, -7]), [0, -1, -1, 2]),
        (NUMBERS, pl.Series(["5", "005", "x", None, "4000000000"]), [0, -1, -1, -1, 1]),
        (NUMBERS, pl.Series([5.0, 5.5, None]), [0, -1, -1]),
        (NUMBERS, pl.Series([2**63, 5], dtype=pl.UInt64), [-1, 0]),
        (NUMBERS, pl.Series([], dtype=pl.Int64), []),
        (TEXTS, pl.Series(["é", "007", "", None]), [4, 2, -1, -1]),
        (TEXTS, pl.Series([7, 0, None]), [3, 0, -1]),
    ],
)
def test_a_whole_column(ids: IdMap, column: pl.Series, codes: list[int]) -> None:
    assert ids.encode_series(column).tolist() == codes
    assert ids.encode_series(column).dtype == np.int32


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1)), unique=True))
def test_numbers_survive_the_round_trip(numbers: list[int]) -> None:
    ids = IdMap(pl.Series(numbers, dtype=pl.Int64))
    assert ids.decode(ids.encode(numbers)) == numbers
    assert ids.decode(ids.encode(map(str, numbers))) == numbers
    assert ids.decode(ids.encode_series(pl.Series(map(str, numbers), dtype=pl.String))) == numbers


@given(st.lists(st.text(), unique=True))
def test_texts_survive_the_round_trip(texts: list[str]) -> None:
    ids = IdMap(pl.Series(texts, dtype=pl.String))
    assert ids.decode(ids.encode(texts)) == texts
    assert ids.decode(ids.encode_series(ids.ids)) == texts


def test_other_types_of_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="Int64 or String, not Float64"):
        IdMap(pl.Series([1.0]))
