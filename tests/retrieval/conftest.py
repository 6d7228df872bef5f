"""A small catalogue maker for the tests of retrieval."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Histories, IdMap

Catalogue = Callable[..., Dataset]


@pytest.fixture
def catalogue() -> Catalogue:
    """Make a dataset of titles, with texts, categories, likes and other columns where they are given."""

    def make(
        titles: Sequence[str | None],
        texts: Sequence[str | None] | None = None,
        categories: Sequence[Sequence[str] | None] | None = None,
        likes: Sequence[int] = (),
        **columns: Any,
    ) -> Dataset:
        size = len(titles)
        ids = pl.Series([f"i{code}" for code in range(size)], dtype=pl.String)
        items = pl.DataFrame(
            {
                "item": ids,
                "title": pl.Series(titles, dtype=pl.String),
                "text": pl.Series(texts or [None] * size, dtype=pl.String),
                "categories": pl.Series(categories or [None] * size, dtype=pl.List(pl.String)),
                **columns,
            }
        )
        liked = np.repeat(np.arange(len(likes)), likes)
        log = Histories.from_events(
            np.arange(len(liked)), liked, np.ones(len(liked)), np.zeros(len(liked), int), size=len(liked)
        )
        users = IdMap(pl.Series([str(user) for user in range(len(liked))], dtype=pl.String))
        return Dataset(
            item_ids=IdMap(ids), user_ids=users, items=items, users=pl.DataFrame({"user": users.ids}), log=log
        )

    return make
