import json

import numpy as np
import pytest

from twofold.evaluate.significance import bootstrap_interval, paired_test
from twofold.evaluate.table import Cell, Row, Table


def make(clusters=None, **options):
    rng = np.random.default_rng(0)
    base = rng.random(200)
    values = {"weak": 0.5 * base, "good": base, "alike": base + rng.normal(0, 0.02, 200) - 0.0005}
    rows = [
        Row(
            name=name,
            metrics={"ndcg@10": array, "hr@10": (array > 0.3).astype(float)},
            beyond={"coverage@10": 0.25},
            extra={"fit seconds": 1234.5},
            slices={"new users": {"cases": 3.0, "ndcg@10": 0.125}},
        )
        for name, array in values.items()
    ]
    return Table(rows=rows, protocol={"split": "global-time"}, clusters=clusters, **options)


def test_estimates_carry_the_mean_and_its_interval():
    table = make()
    found = table.find("good", "ndcg@10")
    values = table.rows[1].metrics["ndcg@10"]
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(bootstrap_interval(values))


def test_clusters_make_means_over_users():
    clusters = np.array([0] * 199 + [1])
    table = make(clusters=clusters)
    values = table.rows[1].metrics["ndcg@10"]
    assert table.find("good", "ndcg@10").value == pytest.approx((values[:199].mean() + values[199]) / 2)


def test_figures_without_cases_have_no_interval():
    table = make()
    for metric, value in {"coverage@10": 0.25, "fit seconds": 1234.5, "ndcg@10, new users": 0.125}.items():
        found = table.find("weak", metric)
        assert (found.value, found.low, found.high) == (value, None, None)
    assert table.find("weak", "nothing") is None


def test_each_row_is_compared_with_the_best_and_with_the_baseline():
    table = make(baseline="weak")
    assert table.best == "good"
    assert [(c.system, c.against) for c in table.comparisons] == [
        ("weak", "good"),
        ("alike", "good"),
        ("good", "weak"),
        ("alike", "weak"),
    ]
    worst, alike, better, _ = table.comparisons
    assert worst.difference < 0 < better.difference
    assert better.ratio == pytest.approx(2)
    assert (better.ratio_low, better.ratio_high) == pytest.approx((2, 2))
    assert worst.p_corrected < 0.001
    alone = paired_test(table.rows[2].metrics["ndcg@10"], table.rows[1].metrics["ndcg@10"])
    assert alike.p_value == alone.p_value
    assert alike.p_corrected == alone.p_value  # the larger of two: its factor is 1
    assert worst.p_corrected == pytest.approx(2 * worst.p_value)


def test_marks_say_best_level_and_below():
    cells = make().cells(["ndcg@10"])
    assert {name: row[0].mark for name, row in cells.items()} == {"weak": "below", "good": "best", "alike": "level"}


def test_a_metric_that_is_not_the_main_one_marks_only_the_highest():
    cells = make().cells(["hr@10"])
    assert cells["weak"][0].mark == ""
    assert "best" in {row[0].mark for row in cells.values()}


def test_cells_are_text():
    cells = make().cells(["ndcg@10", "coverage@10", "fit seconds", "unknown"])["weak"]
    assert cells[0].interval.count(" – ") == 1
    assert cells[1:] == [Cell(text="0.250"), Cell(text="1,234"), Cell(text="–")]


def test_columns_are_the_main_metric_the_usual_ones_and_costs():
    assert make(main="hr@10").columns() == ["hr@10", "ndcg@10", "coverage@10", "fit seconds"]


def test_as_dict_is_plain_json():
    found = json.loads(json.dumps(make(baseline="weak").as_dict(), allow_nan=False))
    assert found["protocol"] == {"split": "global-time"}
    assert set(found["rows"][0]) == {"system", "metric", "value", "low", "high"}
    assert len(found["rows"]) == 3 * (2 + 1 + 2 + 1)
    assert len(found["comparisons"]) == 4


def test_ratio_to_a_system_that_finds_nothing_is_unknown_and_still_json():
    rows = [
        Row(name="none", metrics={"ndcg@10": np.zeros(5)}),
        Row(name="rare", metrics={"ndcg@10": np.array([1.0, 0, 0, 0, 0])}),
    ]
    table = Table(rows=rows, protocol={}, baseline="none")
    against_none = next(c for c in table.comparisons if c.against == "none")
    assert (against_none.ratio, against_none.ratio_low) == (None, None)
    json.dumps(table.as_dict(), allow_nan=False)


def test_one_row_alone_needs_no_comparison():
    table = Table(rows=[Row(name="one", metrics={"ndcg@10": np.ones(3)})], protocol={})
    assert table.comparisons == ()
    assert table.cells()["one"][0].mark == "best"


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "at least one row"),
        ([("a", 3), ("a", 3)], {}, "different names"),
        ([("a", 3), ("b", 4)], {}, "same cases"),
        ([("a", 3)], {"main": "map@10"}, "was not measured"),
        ([("a", 3)], {"baseline": "z"}, "no row 'z'"),
    ],
)
def test_what_is_no_table_is_refused(rows, options, message):
    made = [Row(name=name, metrics={"ndcg@10": np.ones(size)}) for name, size in rows]
    with pytest.raises(ValueError, match=message):
        Table(rows=made, protocol={}, **options)
