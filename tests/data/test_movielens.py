from pathlib import Path

import pytest

from twofold.core.errors import DataError
from twofold.data import read_data, read_movielens
from twofold.data.movielens import GENRES, split_title


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_bytes(text.encode("latin-1"))
    return folder


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Toy Story (1995)", ("Toy Story", 1995)),
        ("Matrix, The (1999)", ("The Matrix", 1999)),
        ("American in Paris, An (1951)", ("An American in Paris", 1951)),
        ("Avventura, L' (1960)", ("L'Avventura", 1960)),
        (
            "Seven Samurai, The (Shichinin no samurai) (1954)",
            ("The Seven Samurai (Shichinin no samurai)", 1954),
        ),
        (
            "Shanghai Triad (Yao a yao yao dao waipo qiao) (1995)",
            ("Shanghai Triad (Yao a yao yao dao waipo qiao)", 1995),
        ),
        ("Babylon 5", ("Babylon 5", None)),
        ("Fawlty Towers (1975-1979)", ("Fawlty Towers", 1975)),
        ("Me, Myself & Irene (2000)", ("Me, Myself & Irene", 2000)),
        ("(500) Days of Summer (2009)", ("(500) Days of Summer", 2009)),
    ],
)
def test_titles(title: str, expected: tuple[str, int | None]) -> None:
    assert split_title(title) == expected


def test_the_csv_layout_with_tags(tmp_path: Path) -> None:
    write(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\r\n1,2,4.0,964982703\r\n1,9,2.5,964982704\r\n",
        movies__csv='movieId,title,genres\r\n2,"Matrix, The (1999)",Action|Sci-Fi\r\n3,Plain,(no genres listed)\r\n',
        tags__csv="userId,movieId,tag,timestamp\r\n1,2,hacker,1\r\n2,2,rain,2\r\n3,2,hacker,3\r\n",
        links__csv="movieId,imdbId\r\n2,1\r\n",
    )
    dataset = read_data(tmp_path)
    assert dataset.items.rows() == [
        (2, "The Matrix", "hacker, rain", ["Action", "Sci-Fi"], 1999),
        (3, "Plain", None, [], None),
        (9, None, None, [], None),
    ]
    assert dataset.items.columns == ["item", "title", "text", "categories", "year"]
    assert dataset.interactions.rows() == [(1, 2, 964982703000, 0.5), (1, 9, 964982704000, -0.25)]


def test_the_colon_layout_in_latin_1(tmp_path: Path) -> None:
    write(
        tmp_path,
        ratings__dat="1::10::5::978300760\n2::20::1::978300761\n",
        movies__dat="10::Misérables, Les (1995)::Drama|Musical\n20::Star Wars: Episode IV (1977)::Sci-Fi\n",
        users__dat="1::F::1::10::01234\n2::M::56::16::70072\n",
    )
    dataset = read_data(tmp_path)
    assert dataset.items["title"].to_list() == ["Les Misérables", "Star Wars: Episode IV"]
    assert dataset.items["categories"].to_list() == [["Drama", "Musical"], ["Sci-Fi"]]
    assert dataset.users.rows() == [(1, "F", 1, 10, "01234"), (2, "M", 56, 16, "70072")]
    assert dataset.log.values.tolist() == [1.0, -1.0]


def test_the_tab_layout_with_genre_flags(tmp_path: Path) -> None:
    flags = ["0"] * len(GENRES)
    flags[GENRES.index("Comedy")] = flags[GENRES.index("Drama")] = "1"
    none = ["0"] * len(GENRES)
    none[0] = "1"
    write(
        tmp_path,
        u__data="196\t242\t3\t881250949\n186\t302\t4\t891717742\n",
        u__item="\n".join(
            "|".join(row)
            for row in (
                ["242", "Kolya (1996)", "24-Jan-1997", "", "http://x", *flags],
                ["302", "Caf\xe9, The (1997)", "", "", "", *none],
            )
        ),
        u__user="196|49|M|writer|55105\n186|39|F|executive|00000\n",
    )
    dataset = read_data(tmp_path)
    assert dataset.items.select("item", "title", "categories", "year").rows() == [
        (242, "Kolya", ["Comedy", "Drama"], 1996),
        (302, "The Café", [], 1997),
    ]
    assert dataset.users.columns == ["user", "age", "gender", "occupation", "zip"]
    assert dataset.interactions["timestamp"].to_list() == [881250949000, 891717742000]


def test_one_file_of_movielens_alone_has_known_columns(tmp_path: Path) -> None:
    write(tmp_path, u__data="196\t242\t3\t881250949\n")
    assert read_data(tmp_path / "u.data").interactions.rows() == [(196, 242, 881250949000, 0.0)]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        read_movielens(tmp_path / "nothing")
    with pytest.raises(DataError, match="holds no MovieLens layout"):
        read_movielens(tmp_path)
    write(tmp_path, ratings__csv="userId,movieId\n1,2\n", movies__csv="id,name\n2,x\n")
    with pytest.raises(DataError, match="movies of a MovieLens folder want a column 'item'"):
        read_movielens(tmp_path)


def test_a_file_that_vanishes_between_listing_and_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ratings__csv="userId,movieId,rating,timestamp\n1,2,4.0,1\n", movies__csv="movieId,title,genres\n")
    real = Path.iterdir

    def listing(folder: Path) -> list[Path]:
        paths = list(real(folder))
        (tmp_path / "movies.csv").unlink()
        return paths

    monkeypatch.setattr(Path, "iterdir", listing)
    with pytest.raises(DataError, match=r"there is no file .*movies\.csv"):
        read_movielens(tmp_path)


def test_movielens_small_as_it_is(data_folder: Path) -> None:
    dataset = read_data(data_folder / "ml-latest-small")
    assert len(dataset.log.items) == 100_836
    assert (len(dataset.users), len(dataset.items)) == (610, 9_742)
    assert dataset.provenance["malformed"] == 0
    assert dataset.provenance["silent_items"] == 18
    assert dataset.items.filter(item=2571).select("title", "year").row(0) == ("The Matrix", 1999)


def test_movielens_1m_from_its_parquet_file(data_folder: Path) -> None:
    raw = read_movielens(data_folder / "ml-1m")
    assert len(raw.interactions.frame) == 999_606
    assert len(raw.items.frame) == 3_883
    assert raw.users is not None
    assert len(raw.users.frame) == 6_040
