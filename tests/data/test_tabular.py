import csv
import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from twofold.core.errors import DataError
from twofold.data import read_table


def write(folder: Path, content: bytes | str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_latin_1_byte_in_a_utf8_file_is_repaired_and_noted(tmp_path: Path) -> None:
    path = write(tmp_path, b"item,title\n1,Caf\xc3\xa9\n2,Caf\xe9\n")
    table = read_table(path)
    assert table.frame["title"].to_list() == ["Café", "Café"]
    assert table.notes == ("log.csv: 1 byte that is not UTF-8 read as Latin-1, first on line 3",)


def test_a_file_wholly_in_latin_1_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "item,title\n1,Élève à Orléans\n".encode("latin-1"))
    assert read_table(path).frame["title"][0] == "Élève à Orléans"
    assert read_table(path, encoding="latin-1").notes == ()


def test_an_unknown_or_wrong_encoding_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, b"item,title\n1,Caf\xe9\n")
    with pytest.raises(DataError, match="no encoding that Python knows"):
        read_table(path, encoding="latin1024")
    with pytest.raises(DataError, match="is not in utf-8"):
        read_table(path, encoding="utf-8")


def test_a_price_column_with_one_dash_stays_numeric(tmp_path: Path) -> None:
    prices = [f"{n}.50" for n in range(30)]
    prices[7] = "—"
    path = write(tmp_path, "item,price\n" + "".join(f"{n},{price}\n" for n, price in enumerate(prices)))
    table = read_table(path)
    assert table.frame.schema["price"] == pl.Float64
    assert table.frame["price"].null_count() == 1
    assert table.frame["price"][7] is None
    assert table.frame["price"][29] == 29.5
    assert table.notes == ("log.csv: column 'price' has 1 value that is no number, such as '—'; read as missing",)


def test_a_column_half_of_words_stays_text(tmp_path: Path) -> None:
    path = write(tmp_path, "item,size\n1,38\n2,large\n3,40\n4,small\n")
    assert read_table(path).frame["size"].to_list() == ["38", "large", "40", "small"]


def test_a_space_separated_file_read_as_tab_is_refused_with_the_delimiter_that_fits(tmp_path: Path) -> None:
    path = write(tmp_path, "user item rating\n1 10 4\n2 20 5\n", "log.tsv")
    with pytest.raises(DataError, match=r"does not hold a tab, but spaces would give 3 columns.*delimiter=' '"):
        read_table(path, delimiter="\t")
    table = read_table(path)
    assert table.frame.rows() == [(1, 10, 4), (2, 20, 5)]
    assert table.notes == ("log.tsv: fields separated by spaces",)


@pytest.mark.parametrize("mark", [",", "\t", ";", "|", "::", " "])
def test_delimiters_are_guessed(tmp_path: Path, mark: str) -> None:
    rows = [("user", "item", "rating"), ("1", "10", "4.5"), ("2", "20", "3.0")]
    path = write(tmp_path, "\n".join(mark.join(row) for row in rows))
    assert read_table(path).frame.rows() == [(1, 10, 4.5), (2, 20, 3.0)]


def test_runs_of_spaces_separate_once(tmp_path: Path) -> None:
    path = write(tmp_path, "user  item\n 1   10\n22   20 \n")
    assert read_table(path, delimiter=" ").frame.rows() == [(1, 10), (22, 20)]


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbfuser,item\n1,2\n")
    assert read_table(path).frame.columns == ["user", "item"]


def test_utf_16_is_known_by_its_mark(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item\n1,ü\n".encode("utf-16"))
    assert read_table(path).frame.rows() == [(1, "ü")]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_any_system(tmp_path: Path, end: str) -> None:
    path = write(tmp_path, end.join(["user,item", "1,a", "2,b", ""]))
    assert read_table(path).frame.rows() == [(1, "a"), (2, "b")]


def test_quoted_newlines_delimiters_and_quotes_belong_to_the_field(tmp_path: Path) -> None:
    path = write(tmp_path, 'item,title\n1,"one\ntwo, ""three"""\n2,plain\n3\n4,"x"\n')
    table = read_table(path)
    assert table.frame.rows() == [(1, 'one\ntwo, "three"'), (2, "plain"), (4, "x")]
    assert table.lines.tolist() == [2, 4, 6]
    assert table.rejected.rows() == [(5, "1 field instead of 2", "3")]


def test_quotes_around_every_field_are_taken_off(tmp_path: Path) -> None:
    path = write(tmp_path, '"user","item","note"\n"1","a",""\n"2","b","x y"\n"3"\n')
    table = read_table(path)
    assert table.frame.rows() == [(1, "a", None), (2, "b", "x y")]
    assert table.rejected["line"].to_list() == [4]


def test_an_unclosed_quote_costs_one_line_and_not_the_rest(tmp_path: Path) -> None:
    lines = [f"{n},title {n}" for n in range(1, 21)]
    lines[4], lines[14] = '5,"never closed', '15,"closed, here"'
    table = read_table(write(tmp_path, "item,title\n" + "\n".join(lines)))
    assert table.rejected.rows() == [(6, "a quote is opened and not closed", '5,"never closed')]
    assert table.frame["item"].to_list() == [n for n in range(1, 21) if n != 5]
    assert table.frame["title"][13] == "closed, here"


def test_a_quote_within_a_field_is_a_character(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'item,title\n1,5" screen\n2,"a, b"\n'))
    assert table.frame["title"].to_list() == ['5" screen', "a, b"]


def test_a_row_with_too_few_columns_at_line_500_of_1000(tmp_path: Path) -> None:
    lines = ["user,item,rating"] + [f"{n},{n % 7},4" for n in range(2, 1001)]
    lines[499] = "500,3"
    table = read_table(write(tmp_path, "\n".join(lines)))
    assert table.rejected.rows() == [(500, "2 fields instead of 3", "500,3")]
    assert len(table.frame) == 998
    assert table.lines[497] == 499
    assert table.lines[498] == 501
    assert table.frame["user"][498] == 501


def test_a_row_with_too_many_columns_is_set_aside(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a::b\n1::2\n3::4::5\n6::7\n"))
    assert table.rejected.rows() == [(3, "3 fields instead of 2", "3::4::5")]
    assert table.frame.rows() == [(1, 2), (6, 7)]


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "\nuser,item\n\n1,2\n\n\n3,4\n\n"))
    assert table.frame.rows() == [(1, 2), (3, 4)]
    assert table.lines.tolist() == [4, 7]
    assert len(table.rejected) == 0


def test_a_file_mostly_bad_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 of 3 lines of log\.csv cannot be read \(line 3: 1 field instead of 2"):
        read_table(write(tmp_path, "user,item\n1,2\n3\n4\n"))


def test_blocks_of_one_file_may_differ_in_type(tmp_path: Path) -> None:
    rows = [f"u{n},{n},{n % 5}.5" if n == 119_999 else f"{n},{n},{n % 5}" for n in range(120_000)]
    table = read_table(write(tmp_path, "user,item,rating\n" + "\n".join(rows)))
    assert table.frame.schema == {"user": pl.String, "item": pl.Int64, "rating": pl.Float64}
    assert table.frame["user"][118_000] == "118000"
    assert table.frame["user"][119_999] == "u119999"
    assert table.lines[-1] == 120_001


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["5", "4000000000"], [5, 4000000000]),
        (["0", "196"], [0, 196]),
        (["7", "007"], ["7", "007"]),
        (["7", "+8"], ["7", "+8"]),
        (["7.0", "8.0"], ["7.0", "8.0"]),
        (["9223372036854775807", "-3"], [9223372036854775807, -3]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        ([" 7", "8 "], [7, 8]),
    ],
)
def test_ids_are_numbers_only_in_their_one_spelling(
    tmp_path: Path, values: list[str], expected: list[int | str]
) -> None:
    table = read_table(write(tmp_path, "userId,x\n" + "".join(f"{value},a\n" for value in values)))
    assert table.frame["userId"].to_list() == expected


def test_a_column_named_as_ids_keeps_its_words(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n}\n" for n in range(99))
    table = read_table(write(tmp_path, f"who,n\n{rows}anna,99\n"), ids=["who"])
    assert table.frame["who"][99] == "anna"
    assert table.frame["who"][5] == "5"


def test_codes_with_leading_zeros_stay_text(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "item,zip\n1,01234\n2,98765\n"))
    assert table.frame["zip"].to_list() == ["01234", "98765"]


def test_decimal_commas_and_truth_values(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "item;price;new\n1;3,5;true\n2;10;False\n"))
    assert table.frame.rows() == [(1, 3.5, True), (2, 10.0, False)]


def test_a_file_without_a_header_takes_given_names(tmp_path: Path) -> None:
    path = write(tmp_path, "1::10::4::99\n2::20::5::98\n", "ratings.txt")
    table = read_table(path, columns=["user", "item", "rating", "timestamp"])
    assert table.frame["user"].to_list() == [1, 2]
    assert table.lines.tolist() == [1, 2]
    assert read_table(path).frame.columns == ["column_1", "column_2", "column_3", "column_4"]


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a,a,\n1,2,3\n")).frame.columns == ["a", "a_2", "column_3"]


def test_json_lines_with_a_malformed_line(tmp_path: Path) -> None:
    rows = [{"user": 1, "item": "a", "tags": ["x", "y"]}, {"user": 2, "item": "b"}]
    path = write(tmp_path, json.dumps(rows[0]) + '\n{"user": 1, \n\n' + json.dumps(rows[1]) + "\n", "log.jsonl")
    table = read_table(path)
    assert table.frame.rows() == [(1, "a", ["x", "y"]), (2, "b", None)]
    assert table.lines.tolist() == [1, 4]
    assert table.rejected["line"].to_list() == [2]
    assert table.rejected["reason"][0].startswith("no JSON object")


def test_json_ids_of_mixed_types_become_strings(tmp_path: Path) -> None:
    path = write(tmp_path, '{"user": 7, "x": 1}\n{"user": "007", "x": 2.5}\n', "log.jsonl")
    assert read_table(path).frame.rows() == [("7", 1.0), ("007", 2.5)]


def test_json_that_is_no_text_or_too_deep_is_set_aside(tmp_path: Path) -> None:
    deep = '{"user": ' + "[" * 100_000 + "]" * 100_000 + "}"
    path = write(tmp_path, '{"user": "\\ud800"}\n' + deep + '\n{"user": "a"}\n{"user": "b"}\n', "log.jsonl")
    table = read_table(path)
    assert table.frame["user"].to_list() == ["a", "b"]
    assert table.rejected["line"].to_list() == [1, 2]


def test_a_very_long_quoted_field(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    table = read_table(write(tmp_path, f'item,text\n1,"{"x, " * 100_000}"\n'))
    assert len(table.frame["text"][0]) == 300_000
    assert csv.field_size_limit() == limit


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "user,item\n"))
    assert table.frame.columns == ["user", "item"]
    assert len(table.frame) == len(table.lines) == 0


def test_json_lines_mostly_bad_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one JSON object a line"):
        read_table(write(tmp_path, "[1]\nx\n", "log.jsonl"))


def test_parquet_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [1, 2], "item": ["a", "b"]})
    frame.write_parquet(tmp_path / "log.parquet")
    assert read_table(tmp_path / "log.parquet").frame.equals(frame)
    content = (tmp_path / "log.parquet").read_bytes()
    with pytest.raises(DataError, match="damaged Parquet"):
        read_table(write(tmp_path, content[:-20], "cut.parquet"))


def test_gzip_is_unpacked_and_a_damaged_one_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"user,item\n1,2\n")
    assert read_table(write(tmp_path, packed, "log.csv.gz")).frame.rows() == [(1, 2)]
    with pytest.raises(DataError, match="damaged gzip"):
        read_table(write(tmp_path, packed[:-4], "cut.csv.gz"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_table(write(tmp_path, content))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="is a folder where a file is wanted"):
        read_table(tmp_path)


def test_a_file_that_vanishes_half_way_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "user,item\n1,2\n")
    real = Path.open

    class Vanishing:
        def __init__(self, stream: object) -> None:
            self.stream = stream

        def __enter__(self) -> "Vanishing":
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()

        def fileno(self) -> int:
            return self.stream.fileno()

        def read(self) -> bytes:
            raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Path, "open", lambda self, *a, **k: Vanishing(real(self, *a, **k)))
    with pytest.raises(DataError, match=r"log\.csv cannot be read \(Stale file handle\)"):
        read_table(path)


def test_a_file_cut_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "user,item\n" + "1,2\n" * 100_000)
    real = Path.open

    def cutting(self: Path, *arguments: str) -> object:
        stream = real(self, *arguments)
        fileno = stream.fileno

        class Cut:
            def __enter__(self) -> "Cut":
                return self

            def __exit__(self, *_: object) -> None:
                stream.close()

            def fileno(self) -> int:
                return fileno()

            def read(self) -> bytes:
                with real(path, "r+b") as other:
                    other.truncate(1000)
                return stream.read()

        return Cut()

    monkeypatch.setattr(Path, "open", cutting)
    with pytest.raises(DataError, match="lost its end while it was read"):
        read_table(path)
