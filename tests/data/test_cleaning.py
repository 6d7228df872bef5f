import json
from pathlib import Path

import polars as pl
import pytest

from twofold.core.config import build
from twofold.core.errors import ConfigError, DataError
from twofold.data import Cleaned, Cleaning, clean, read_and_clean
from twofold.data.feedback import rating_scale
from twofold.data.table import Table


def cleaned(columns: dict[str, list], items: dict[str, list] | None = None, **options: object) -> Cleaned:
    catalogue = None if items is None else Table.of(pl.DataFrame(items, strict=False))
    events = Table.of(pl.DataFrame(columns, strict=False))
    return clean(events, catalogue, cleaning=build(Cleaning, options, "data"))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([0.5, 5.0], (3.0, 5.0)),
        ([1, 5], (3.0, 5.0)),
        ([2, 4], (3.0, 5.0)),
        ([1, 10], (6.0, 10.0)),
        ([0, 100], (60.0, 100.0)),
        ([0, 1], (0.6, 1.0)),
        ([-10, 10], (0.0, 10.0)),
        ([-1, 1], (0.0, 1.0)),
    ],
)
def test_the_rule_of_ratings(seen: list[float], expected: tuple[float, float]) -> None:
    assert rating_scale(pl.Series(seen), None, None) == expected


def test_a_dislike_is_never_a_like() -> None:
    stars = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]
    result = cleaned({"user": [1] * 10, "item": list(range(10)), "rating": stars})
    assert result.dataset.log.values.tolist() == [-1, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1]
    assert (result.report.dislikes, result.report.neutral, result.report.likes) == (5, 1, 4)
    assert result.report.rule == "'rating': value = (rating - 3) / (5 - 3), within -1 and 1"


def test_the_scale_can_be_given() -> None:
    result = cleaned({"user": [1, 1], "item": [1, 2], "rating": [4, 7]}, neutral=4.0, highest=7.0)
    assert result.dataset.log.values.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"neutral rating 9\.0 is not below the highest"):
        cleaned({"user": [1], "item": [1], "rating": [4]}, neutral=9.0)


def test_kinds_of_events_have_values_and_unknown_ones_are_set_aside() -> None:
    events = ["view", "Add-To-Cart", "purchase", "dislike", "yawn"]
    result = cleaned({"user": [1] * 5, "item": [1, 2, 3, 4, 5], "event": events}, event_values={"view": 0.1})
    assert result.dataset.log.values.round(3).tolist() == pytest.approx([0.1, 0.7, 1.0, -1.0])
    assert result.report.missing == {"no rating or known kind of event": 1}
    assert result.rejected.rows() == [(5, "no rating or known kind of event", "user=1 item=5")]


def test_a_rating_speaks_before_the_kind_of_event() -> None:
    columns = {"user": [1] * 3, "item": [1, 2, 3], "event": ["view", "like", "dislike"], "rating": [1.0, None, 5.0]}
    assert cleaned(columns).dataset.log.values.tolist() == [-1, 1, 1]


def test_without_rating_or_kind_each_event_is_a_like() -> None:
    result = cleaned({"user": [1, 2], "item": [1, 2]})
    assert result.dataset.log.values.tolist() == [1, 1]


@pytest.mark.parametrize(("option", "values"), [("drop", [1]), ("neutral", [1, 0]), ("like", [1, 1])])
def test_missing_ratings_follow_the_option(option: str, values: list[float]) -> None:
    result = cleaned({"user": [1, 1], "item": [1, 2], "rating": [5.0, None]}, missing_rating=option)
    assert result.dataset.log.values.tolist() == values
    assert sum(result.report.missing.values()) + sum(result.report.filled.values()) == 1


def test_an_empty_column_of_ratings_is_passed_over() -> None:
    result = cleaned({"user": [1, 1], "item": [1, 2], "rating": [None, None]})
    assert result.dataset.log.values.tolist() == [1, 1]
    assert "the column 'rating' is empty, so it is passed over" in result.report.notes


def test_missing_users_and_items_are_set_aside_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,rating\n1,10,5\n,10,4\n2,,3\n3,30,5\n")
    result = read_and_clean(path)
    assert result.rejected.rows() == [(3, "no user", "user=? item=10"), (4, "no item", "user=2 item=?")]
    assert result.report.missing == {"no user": 1, "no item": 1}
    assert result.dataset.interactions["user"].to_list() == [1, 3]


def test_exact_repeats_keep_the_last() -> None:
    columns = {"user": [1, 1, 2, 1], "item": [7, 7, 7, 7], "rating": [5, 1, 5, 4], "timestamp": [10, 20, 10, 10]}
    result = cleaned(columns)
    assert result.dataset.interactions.rows() == [(1, 7, 10_000, 0.5), (1, 7, 20_000, -1.0), (2, 7, 10_000, 1.0)]
    assert result.report.duplicates == 1
    assert result.rejected["line"].to_list() == [1]
    assert len(cleaned(columns, duplicates="keep").dataset.log.items) == 4


def test_one_pair_on_two_dates_is_two_events() -> None:
    result = cleaned({"user": ["a", "a"], "item": ["x", "x"], "date": ["2024-01-01", "2024-01-02"]})
    assert len(result.dataset.log.items) == 2
    assert result.report.duplicates == 0
    assert (result.report.first, result.report.last) == ("2024-01-01T00:00:00+00:00", "2024-01-02T00:00:00+00:00")


def test_three_events_at_one_second_keep_the_order_of_the_file() -> None:
    columns = {"user": [1, 1, 1, 1], "item": ["c", "a", "b", "z"], "ts": [100, 100, 100, 50]}
    assert cleaned(columns).dataset.interactions["item"].to_list() == ["z", "c", "a", "b"]


def test_without_times_the_order_of_the_file_counts() -> None:
    result = cleaned({"user": [1, 2, 1], "item": ["b", "x", "a"]})
    assert result.dataset.interactions.select("user", "item", "timestamp").rows() == [
        (1, "b", 0),
        (1, "a", 0),
        (2, "x", 0),
    ]
    assert result.report.first is None


def test_missing_times_are_those_of_the_event_before() -> None:
    columns = {"user": [1, 2, 1, 1, 3], "item": [1, 1, 2, 3, 1], "time": [None, 50, 70, None, None]}
    result = cleaned(columns)
    assert result.dataset.interactions["timestamp"].to_list() == [70_000, 70_000, 70_000, 50_000, 0]
    assert result.report.filled == {"time, from the event before it": 3}
    assert cleaned(columns, missing_time="drop").report.missing == {"no time": 3}


def test_a_bot_is_set_aside_whole() -> None:
    bot = 100_000
    users = ["bot"] * bot + ["a", "b"]
    result = cleaned({"user": users, "item": [n % 50 for n in range(bot)] + [1, 2], "ts": list(range(bot + 2))})
    assert result.report.bots == {"bot": 100_000}
    assert result.dataset.users["user"].to_list() == ["a", "b"]
    assert result.rejected.height == 100_000
    assert result.rejected["reason"].unique().to_list() == ["a user with over 20,000 events"]
    assert len(result.report.examples) == 20


def test_a_limit_of_zero_keeps_bots() -> None:
    result = cleaned({"user": [1] * 3, "item": [1, 2, 3]}, bot_events=0)
    assert result.report.rows_kept == 3
    assert cleaned({"user": [1] * 3 + [2], "item": [1, 2, 3, 1]}, bot_events=2).report.rows_kept == 1


def test_rare_users_and_items_are_left_out_until_no_rule_strikes() -> None:
    # user 3 is rare; without her, item 30 has one event; without that, user 2 has one
    columns = {"user": [1, 1, 2, 2, 3, 4, 4], "item": [10, 20, 10, 30, 30, 10, 20]}
    result = cleaned(columns, min_user_events=2, min_item_events=2)
    assert result.dataset.interactions.select("user", "item").rows() == [(1, 10), (1, 20), (4, 10), (4, 20)]
    assert result.report.rare == 3


def test_events_of_unknown_items_and_items_without_events_both_stay() -> None:
    items = {"item": [30, 10, 20], "title": ["thirty", "ten", "twenty"], "genre": ["a|b", "", None]}
    result = cleaned({"user": [1, 1], "item": [99, 10]}, items)
    assert result.dataset.items.rows() == [
        (30, "thirty", None, ["a", "b"]),
        (10, "ten", None, []),
        (20, "twenty", None, []),
        (99, None, None, []),
    ]
    assert (result.report.unknown_items, result.report.silent_items) == (1, 2)
    assert result.dataset.log.items.tolist() == [3, 1]


def test_repeated_rows_of_the_catalogue_keep_the_first() -> None:
    result = cleaned({"user": [1], "item": [1]}, {"item": [1, 1, None], "title": ["first", "second", "none"]})
    assert result.dataset.items["title"].to_list() == ["first"]
    assert result.report.catalogue_duplicates == 1


def test_numbers_on_one_side_and_texts_on_the_other_become_texts() -> None:
    result = cleaned({"user": [1, 2], "item": [7, 8]}, {"item": ["7", "x"], "title": ["seven", "ex"]})
    assert result.dataset.items["item"].to_list() == ["7", "x", "8"]
    assert result.dataset.log.items.tolist() == [0, 2]
    result = cleaned({"user": [1, 2], "item": ["7", "x"]}, {"item": [7], "title": ["seven"]})
    assert result.dataset.items["item"].to_list() == ["7", "x"]


@pytest.mark.parametrize("ids", [[5, 4_000_000_000], ["0", "196"], ["7", "007"], ["ä", "日本"]])
def test_ids_come_out_as_they_went_in(ids: list[int | str]) -> None:
    result = cleaned({"user": ids, "item": ids[::-1]})
    spelled = [(str(user), str(item)) for user, item in result.dataset.interactions.select("user", "item").rows()]
    assert spelled == [(str(ids[0]), str(ids[1])), (str(ids[1]), str(ids[0]))]


def test_users_come_in_order_of_appearance() -> None:
    assert cleaned({"user": ["c", "a", "c", "b"], "item": [1] * 4}).dataset.users["user"].to_list() == ["c", "a", "b"]


def test_attributes_keep_one_of_few_types() -> None:
    items = {"item": [1], "price": [1.5], "count": [3], "new": [True], "tags": [["x"]], "deep": [{"a": 1}]}
    schema = cleaned({"user": [1], "item": [1]}, items).dataset.items.schema
    assert schema["price"] == pl.Float64
    assert schema["count"] == pl.Int64
    assert schema["new"] == pl.Boolean
    assert schema["categories"] == pl.List(pl.String)
    assert "deep" not in schema


def test_ten_by_ten_and_data_without_an_event() -> None:
    grid = {"user": [u for u in range(10) for _ in range(10)], "item": list(range(10)) * 10}
    assert len(cleaned(grid).dataset.log.items) == 100
    empty = {"user": [None], "item": [1]}
    assert len(cleaned(empty, {"item": [1, 2], "title": ["a", "b"]}).dataset.items) == 2
    with pytest.raises(DataError, match=r"hold no event that can be used \(no user: 1\)"):
        cleaned(empty)


def test_ratings_that_are_words_are_refused() -> None:
    with pytest.raises(DataError, match="column 'rating' are no numbers, such as 'good'"):
        cleaned({"user": [1, 2], "item": [1, 2], "rating": ["good", "bad"]})


def test_the_report_is_plain_and_travels_with_the_dataset(tmp_path: Path) -> None:
    result = cleaned({"user": [1, None], "item": [1, 2], "rating": [5, 4]})
    assert json.loads(json.dumps(result.dataset.provenance)) == result.report.as_dict()
    rows = dict(result.report.rows)
    assert rows["rows read"] == "2"
    assert rows["missing"] == "no user: 1"
    assert rows["columns"] == "interactions: user: user, item: item, rating: rating"
    assert "bots" not in rows
    result.dataset.save(tmp_path / "data")


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be 0 or more"):
        build(Cleaning, {"bot_events": -1}, "data")
    with pytest.raises(ConfigError, match="within -1 and 1"):
        build(Cleaning, {"event_values": {"view": 3}}, "data")
