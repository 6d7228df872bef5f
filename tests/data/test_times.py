from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest

from twofold.core.errors import DataError
from twofold.data.times import to_milliseconds

SECOND = 964_982_703
MILLI = SECOND * 1000


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000, 1_000_000_000])
def test_whole_numbers_of_every_unit(scale: int) -> None:
    assert to_milliseconds(pl.Series([SECOND * scale, None])).to_list() == [MILLI, None]


def test_whole_numbers_never_pass_through_a_float() -> None:
    exact = 1_700_000_000_123_456_789
    assert to_milliseconds(pl.Series([exact])).to_list() == [1_700_000_000_123]


def test_real_seconds_keep_their_milliseconds() -> None:
    assert to_milliseconds(pl.Series([SECOND + 0.25, float("nan")])).to_list() == [MILLI + 250, None]
    assert to_milliseconds(pl.Series([float(SECOND)])).to_list() == [MILLI]


@pytest.mark.parametrize(
    "text",
    [
        "2000-07-30T18:45:03Z",
        "2000-07-30 18:45:03",
        "2000-07-30T20:45:03+02:00",
        "2000-07-30 13:15:03.000-0530",
        "2000/07/30 18:45:03 UTC",
        "30-07-2000 18:45:03",
        "964982703",
        " 964982703000 ",
    ],
)
def test_texts(text: str) -> None:
    assert to_milliseconds(pl.Series([text])).to_list() == [MILLI]


@pytest.mark.parametrize("text", ["2000-07-30", "20000730", "30-Jul-2000", "2000-07-30 00:00"])
def test_days(text: str) -> None:
    assert to_milliseconds(pl.Series([text])).to_list() == [964_915_200_000]


def test_dates_and_datetimes() -> None:
    there = timezone(timedelta(hours=2))
    assert to_milliseconds(pl.Series([date(2000, 7, 30)])).to_list() == [964_915_200_000]
    assert to_milliseconds(pl.Series([datetime(2000, 7, 30, 18, 45, 3)])).to_list() == [MILLI]
    assert to_milliseconds(pl.Series([datetime(2000, 7, 30, 20, 45, 3, tzinfo=there)])).to_list() == [MILLI]


def test_a_time_that_is_none_is_missing_and_a_column_of_none_is_refused() -> None:
    assert to_milliseconds(pl.Series(["2000-07-30", "soon", "2000-07-30"])).to_list()[1] is None
    assert to_milliseconds(pl.Series([SECOND, SECOND, 9_000_000_000_000_000_000])).to_list()[2] is None
    with pytest.raises(DataError, match="are no times, such as 'soon'"):
        to_milliseconds(pl.Series("when", ["soon", "later", "2000-07-30"]))
