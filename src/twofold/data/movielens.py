"""MovieLens in its three layouts: csv, `::` in Latin-1, and the tabs and bars of ml-100k."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from twofold.core.errors import DataError
from twofold.data.table import Table
from twofold.data.tabular import read_table
from twofold.data.typed import as_categories

__all__ = ["MovieLens", "file_options", "read_movielens", "split_title"]

FLAGS = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    "Mystery Romance Sci-Fi Thriller War Western"
)
GENRES = tuple(map(str, FLAGS.split()))
RATINGS = ("user", "item", "rating", "timestamp")
FILES: dict[str, tuple[str, str, Sequence[str]]] = {
    "ratings.dat": ("::", "latin-1", RATINGS),
    "movies.dat": ("::", "latin-1", ("item", "title", "genres")),
    "users.dat": ("::", "latin-1", ("user", "gender", "age", "occupation", "zip")),
    "u.data": ("\t", "latin-1", RATINGS),
    "u.item": ("|", "latin-1", ("item", "title", "release_date", "video_release_date", "imdb_url", *GENRES)),
    "u.user": ("|", "latin-1", ("user", "age", "gender", "occupation", "zip")),
}
"""Files without a header: what separates their fields, their encoding, and their columns."""
ARTICLES = "The|A|An|La|Le|Les|L'|Das|Der|Die|El|Los|Las|Il|Lo|I|Un|Une|Det|Den|Een|O|Os|De"
TITLE = r"^(.*?)\s*(?:\((\d{4})(?:[-–]\d{0,4})?\))?\s*$"
LAST_ARTICLE = rf"^([^(]*?), ({ARTICLES})(\s*\(.*)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieLens:
    """The raw tables of a MovieLens folder."""

    interactions: Table
    items: Table
    users: Table | None


def file_options(name: str) -> dict[str, object]:
    """Return how to read a file that MovieLens ships without a header; empty for any other file."""
    if name not in FILES:
        return {}
    delimiter, encoding, columns = FILES[name]
    return {"delimiter": delimiter, "encoding": encoding, "columns": columns}


def read_movielens(folder: Path | str) -> MovieLens:
    """Read a MovieLens folder, in whichever layout it is.

    Titles lose their year, which becomes the attribute `year`, and get their article in front. Genres
    become categories; in the csv layout the distinct tags of a movie become its text. Ratings in one
    Parquet file take the place of a `ratings.dat` that is not there.

    Raises:
        DataError: the folder is missing or holds no MovieLens layout, or a file of it cannot be read.
    """
    folder = Path(folder)
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        raise DataError(f"there is no folder {folder}; check the path.") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be read as a folder ({error.strerror}); check the path.") from None
    if {"ratings.csv", "movies.csv"} <= names:
        tags = _read(folder / "tags.csv") if "tags.csv" in names else None
        items = _movies(_read(folder / "movies.csv"), tags)
        return MovieLens(interactions=_read(folder / "ratings.csv"), items=items, users=None)
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    if "movies.dat" in names and ("ratings.dat" in names or len(parquet) == 1):
        ratings = _read(folder / ("ratings.dat" if "ratings.dat" in names else parquet[0]))
        users = _read(folder / "users.dat") if "users.dat" in names else None
        return MovieLens(interactions=ratings, items=_movies(_read(folder / "movies.dat"), None), users=users)
    if {"u.data", "u.item"} <= names:
        users = _read(folder / "u.user") if "u.user" in names else None
        return MovieLens(interactions=_read(folder / "u.data"), items=_flagged(_read(folder / "u.item")), users=users)
    raise DataError(
        f"{folder} holds no MovieLens layout (ratings.csv and movies.csv, ratings.dat and movies.dat, or u.data and "
        "u.item); give the path of a file of interactions instead."
    )


def _read(path: Path) -> Table:
    return read_table(path, **file_options(path.name))  # type: ignore[arg-type]


def split_title(title: str) -> tuple[str, int | None]:
    """Return a title as it is spoken, and its year.

    >>> split_title("Matrix, The (1999)")
    ('The Matrix', 1999)
    >>> split_title("City of Lost Children, The (Cité des enfants perdus, La) (1995)")
    ('The City of Lost Children (Cité des enfants perdus, La)', 1995)
    """
    frame = _split_titles(pl.DataFrame({"title": [title]}))
    return frame["title"][0], frame["year"][0]


def _split_titles(frame: pl.DataFrame) -> pl.DataFrame:
    title = pl.col("title").cast(pl.String).str.strip_chars()
    bare, year = title.str.extract(TITLE, 1), title.str.extract(TITLE, 2).cast(pl.Int64)
    parts = bare.str.extract_groups(LAST_ARTICLE)
    head, article, rest = (parts.struct.field(str(n)) for n in (1, 2, 3))
    space = pl.when(article.str.ends_with("'")).then(pl.lit("")).otherwise(pl.lit(" "))
    spoken = pl.concat_str(article, space, head, rest.fill_null(""))
    return frame.with_columns(
        pl.coalesce(spoken, pl.when(bare != "").then(bare), title).alias("title"), year.alias("year")
    )


def _movies(movies: Table, tags: Table | None) -> Table:
    frame = movies.frame.rename({"movieId": "item"}, strict=False)
    _need(frame, ("item", "title", "genres"), "movies")
    text = pl.lit(None, pl.String).alias("text")
    if tags is not None:
        _need(tags.frame, ("movieId", "tag"), "tags")
        labels = tags.frame.select(pl.col("movieId").alias("item"), pl.col("tag").cast(pl.String).str.strip_chars())
        joined = (
            labels.drop_nulls()
            .unique(maintain_order=True)
            .group_by("item", maintain_order=True)
            .agg(pl.col("tag").str.join(", ").alias("text"))
        )
        if joined["item"].dtype != frame["item"].dtype:
            joined, frame = joined.cast({"item": pl.String}), frame.cast({"item": pl.String})
        frame, text = frame.join(joined, on="item", how="left", maintain_order="left"), pl.col("text")
    frame = _split_titles(frame.with_columns(as_categories(frame["genres"]).alias("categories")))
    frame = frame.select("item", "title", text, "categories", "year")
    notes = movies.notes + (tags.notes if tags else ())
    rejected = movies.rejected if tags is None else pl.concat([movies.rejected, tags.rejected])
    return Table(frame=frame, lines=movies.lines, rejected=rejected, notes=notes)


def _flagged(movies: Table) -> Table:
    """Turn the genre flags of ml-100k into categories."""
    flags = [pl.when(pl.col(name) == 1).then(pl.lit(name)) for name in GENRES[1:]]
    frame = movies.frame.with_columns(pl.concat_list(flags).list.drop_nulls().alias("categories"))
    frame = _split_titles(frame).select(
        "item", "title", pl.lit(None, pl.String).alias("text"), "categories", "year", "release_date"
    )
    return Table(frame=frame, lines=movies.lines, rejected=movies.rejected, notes=movies.notes)


def _need(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    for name in names:
        if name not in frame.columns:
            raise DataError(
                f"the {what} of a MovieLens folder want a column {name!r} and have {', '.join(frame.columns)}; "
                "get the file again."
            )
