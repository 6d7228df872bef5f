import re
import xml.etree.ElementTree as ET

import numpy as np

from twofold.evaluate.plots import interval_plot, trade_off_plot
from twofold.evaluate.table import Row, Table


def make(names=("plain", "fused"), **extra):
    rng = np.random.default_rng(0)
    rows = [
        Row(name=name, metrics={"ndcg@10": rng.random(30) * (place + 1)}, extra={"ms a query": 10.0**place, **extra})
        for place, name in enumerate(names)
    ]
    return Table(rows=rows, protocol={})


def texts(svg):
    return [element.text.strip() for element in ET.fromstring(svg).iter("text")]


def test_intervals_name_every_system_in_real_text():
    found = texts(interval_plot(make()))
    assert [text for text in found if text in ("plain", "fused")] == ["plain", "fused"]
    assert "ndcg@10, with 95% intervals" in found


def test_plot_says_in_words_what_it_shows():
    table = make()
    label = ET.fromstring(interval_plot(table)).get("aria-label")
    best = table.find("fused", "ndcg@10")
    assert f"fused {best.value:.4f} ({best.low:.4f} to {best.high:.4f}); plain" in label


def test_trade_off_over_a_wide_range_is_logarithmic():
    assert "ms a query (logarithmic)" in texts(trade_off_plot(make(names=("a", "b", "c")), "ms a query"))
    assert "ms a query" in texts(trade_off_plot(make(), "ms a query"))


def test_system_without_the_figure_is_left_out():
    rows = [
        Row(name=name, metrics={"ndcg@10": np.ones(3)}, extra=extra) for name, extra in (("a", {}), ("b", {"x": 1}))
    ]
    found = texts(trade_off_plot(Table(rows=rows, protocol={}), "x"))
    assert "b" in found
    assert "a" not in found


def test_names_are_text_whatever_they_hold():
    names = ("<script>x</script>", 'a $x$ & "b"', "推荐")
    svg = trade_off_plot(make(names=names), "ms a query")
    assert "<script>" not in svg
    assert set(names) <= set(texts(svg))


def test_names_of_close_points_do_not_cover_each_other():
    rows = [
        Row(name=name, metrics={"ndcg@10": np.array([value])}, extra={"x": x})
        for name, value, x in (("one", 0.5, 1.0), ("two", 0.5, 1.01), ("three", 0.501, 1.0), ("far", 0.1, 2.0))
    ]
    svg = trade_off_plot(Table(rows=rows, protocol={}), "x")
    boxes = []
    for element in ET.fromstring(svg).iter("text"):
        if element.text.strip() in ("one", "two", "three"):
            x, y = float(element.get("x")), float(element.get("y"))
            left = x if element.get("style", "").find("anchor: end") < 0 else x - 20
            boxes.append((left, y))
    assert len(boxes) == 3
    for place, (x, y) in enumerate(boxes):
        assert all(abs(x - other) > 20 or abs(y - height) > 8 for other, height in boxes[:place])


def test_colours_are_the_pages_and_nothing_is_loaded():
    svg = interval_plot(make())
    assert "var(--ink)" in svg
    assert "var(--accent)" in svg
    assert "#010101" not in svg
    assert "http" not in svg


def test_identifiers_of_two_plots_do_not_meet_and_drawing_is_repeatable():
    table = make()
    first, second = interval_plot(table), trade_off_plot(table, "ms a query")
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', second))
    references = re.findall(r'(?:url\(#|href="#)([^")]+)', first)
    assert references
    assert set(references) <= set(re.findall(r' id="([^"]+)"', first))
    assert first == interval_plot(make())
