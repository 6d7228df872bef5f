"""What an item says: the text that encoders read, composed of its title, its categories and its text."""

import polars as pl

__all__ = ["item_texts"]


def item_texts(items: pl.DataFrame) -> list[str]:
    """Return one text an item, "" where there is nothing to say.

    Args:
        items: rows like those of `Dataset.items`; columns that are missing count as empty.

    >>> heat = {"title": "Heat", "categories": ["Crime", "Drama"], "text": "A thief."}
    >>> item_texts(pl.DataFrame([heat, {"title": None, "categories": [], "text": None}]))
    ['Heat. Crime, Drama. A thief.', '']
    """
    parts = [
        _filled(items, "title"),
        pl.col("categories").list.join(", ", ignore_nulls=True).fill_null("").str.strip_chars()
        if "categories" in items.columns
        else pl.lit(""),
        _filled(items, "text"),
    ]
    joined = [pl.when(part != "").then(part) for part in parts]
    composed = pl.concat_str(joined, separator="\0", ignore_nulls=True).fill_null("")
    # A full stop between parts, but not a second one behind a sentence that has its own.
    ended = composed.str.replace_all("([.!?。！？…])\0", "$1 ").str.replace_all("\0", ". ")
    return items.select(ended.alias("text"))["text"].to_list() if len(items) else []


def _filled(items: pl.DataFrame, column: str) -> pl.Expr:
    if column not in items.columns:
        return pl.lit("")
    return pl.col(column).cast(pl.String).fill_null("").str.replace_all("\0", "", literal=True).str.strip_chars()
