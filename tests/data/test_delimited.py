import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from twofold.data.delimited import parse_delimited

FIELD = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=8)
AWKWARD = st.text(st.sampled_from('a1 ",\n;"'), max_size=6)


@given(st.lists(st.tuples(FIELD | AWKWARD, FIELD | AWKWARD, AWKWARD), max_size=8), st.sampled_from([0, 1]))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str, str]], quoting: int) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows([("a", "b", "c"), *rows])
    table = parse_delimited(text.getvalue().encode(), "x.csv", delimiter=",")
    assert len(table.rejected) == 0
    read = [tuple("" if field is None else str(field) for field in row) for row in table.frame.rows()]
    assert read == rows


@given(st.lists(st.lists(st.sampled_from(["1", "07", "x", ""]), min_size=1, max_size=4), min_size=1, max_size=12))
def test_every_line_is_a_row_or_is_set_aside(rows: list[list[str]]) -> None:
    good = [["9", "9"]] * len(rows)
    lines = ["a,b", *(",".join(row) for row in good + rows)]
    table = parse_delimited("\n".join(lines).encode(), "x.csv", delimiter=",")
    kept = [number for number, line in enumerate(lines[1:], 2) if line.count(",") == 1]
    assert table.lines.tolist() == kept
    assert table.rejected["line"].to_list() == [n for n, line in enumerate(lines, 1) if line and line.count(",") != 1]
