"""Tables of items and users, aligned with codes."""

import polars as pl

from twofold.data.columns import ColumnMapping
from twofold.data.table import Table
from twofold.data.typed import as_categories, as_ids

__all__ = ["align", "describe_items", "describe_users", "enrich"]

CORE = ("item", "title", "text", "categories")


def describe_items(table: Table, mapping: ColumnMapping) -> tuple[pl.DataFrame, int]:
    """Return `item`, `title`, `text`, `categories` and typed attributes, and how many rows were repeats.

    Rows without an id are left out; of rows with one id the first is kept.
    """
    frame, roles = table.frame, mapping.columns
    empty = pl.lit(None, pl.String)
    described = frame.select(
        as_ids(frame[roles["item"]]).alias("item"),
        *(
            pl.col(roles[role]).cast(pl.String).alias(role) if role in roles else empty.alias(role)
            for role in ("title", "text")
        ),
    ).with_columns(
        as_categories(frame[roles["categories"]]).alias("categories")
        if "categories" in roles
        else pl.lit([], pl.List(pl.String)).alias("categories")
    )
    return _distinct(_with_attributes(described, frame, set(roles.values())), "item")


def describe_users(table: Table, mapping: ColumnMapping) -> tuple[pl.DataFrame, int]:
    """Return `user` and typed attributes, and how many rows were repeats of a user."""
    column = mapping.columns["user"]
    described = pl.DataFrame({"user": as_ids(table.frame[column])})
    return _distinct(_with_attributes(described, table.frame, {column}), "user")


def _distinct(frame: pl.DataFrame, key: str) -> tuple[pl.DataFrame, int]:
    named = frame.filter(pl.col(key).is_not_null())
    distinct = named.unique(key, keep="first", maintain_order=True)
    return distinct, len(named) - len(distinct)


def _with_attributes(described: pl.DataFrame, frame: pl.DataFrame, used: set[str]) -> pl.DataFrame:
    for column in frame.get_columns():
        plain = None if column.name in used else _attribute(column)
        if plain is not None:
            name = plain.name if plain.name not in described.columns else f"{plain.name}_2"
            described = described.with_columns(plain.alias(name))
    return described


def _attribute(column: pl.Series) -> pl.Series | None:
    """Return an attribute in one of few types: whole, real, truth, text, time or list of texts; else None."""
    dtype = column.dtype
    if dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    if dtype.is_float() or dtype.is_decimal():
        return column.cast(pl.Float64).fill_nan(None)
    if dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if dtype == pl.List:
        return column.cast(pl.List(pl.String), strict=False)
    return column if dtype in (pl.String, pl.Boolean, pl.Date, pl.Datetime) else None


def enrich(items: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """Add to described items what another description of them says.

    Texts are put together, titles and categories are taken where they were missing, and attributes
    are added. Items that only the other description has come last.
    """
    items, more = _alike(items, more, "item")
    left = items.join(more, on="item", how="left", suffix="_more", maintain_order="left")
    text = pl.concat_str("text", "text_more", separator=" ", ignore_nulls=True)
    merged = left.with_columns(
        pl.coalesce("title", "title_more").alias("title"),
        pl.when(text != "").then(text).alias("text"),
        pl.when(pl.col("categories").list.len() > 0)
        .then("categories")
        .otherwise(pl.col("categories_more").fill_null([]))
        .alias("categories"),
    ).drop("title_more", "text_more", "categories_more")
    return pl.concat([merged, more.join(items, on="item", how="anti", maintain_order="left")], how="diagonal_relaxed")


def align(table: pl.DataFrame | None, seen: pl.Series, key: str, *, seen_first: bool) -> tuple[pl.DataFrame, pl.Series]:
    """Return a table with a row for every id of it and every id seen, and what was seen in its type of ids.

    The rows of the table come first, or the ids seen in order of appearance. If one side has whole
    numbers and the other texts, both become texts.
    """
    if table is None:
        table = pl.DataFrame(schema={key: seen.dtype})
    table, events = _alike(table, seen.alias(key).to_frame(), key)
    distinct = events.unique(maintain_order=True)
    if seen_first:
        first = distinct.join(table, on=key, how="left", maintain_order="left")
        rest = table.join(distinct, on=key, how="anti", maintain_order="left")
    else:
        first, rest = table, distinct.join(table.select(key), on=key, how="anti", maintain_order="left")
    return pl.concat([first, rest], how="diagonal"), events[key]


def _alike(left: pl.DataFrame, right: pl.DataFrame, key: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    if left[key].dtype == right[key].dtype:
        return left, right
    if not len(left):
        return left.cast({key: right[key].dtype}), right
    return (
        (left, right.cast({key: left[key].dtype}))
        if not len(right)
        else (
            left.cast({key: pl.String}),
            right.cast({key: pl.String}),
        )
    )
