"""A tiny log whose models can be computed by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Histories, IdMap

MakeDataset = Callable[..., Dataset]


@pytest.fixture(scope="session")
def make_dataset() -> MakeDataset:
    """Make a dataset from lists of item codes, one a user, the oldest first."""

    def make(lists: Sequence[Sequence[int]], items: int, values: Sequence[float] | None = None) -> Dataset:
        log = Histories.from_lists(lists)
        day = 86_400_000
        log = Histories(
            indptr=log.indptr,
            items=log.items,
            values=log.values if values is None else np.array(values, np.float32),
            timestamps=np.arange(len(log.items), dtype=np.int64) * day,
        )
        ids = pl.Series([f"i{code}" for code in range(items)], dtype=pl.String)
        users = pl.Series([f"u{code}" for code in range(len(lists))], dtype=pl.String)
        catalogue = pl.DataFrame(
            {"item": ids, "title": ids, "text": ids, "categories": [["c"]] * items},
            schema_overrides={"title": pl.String, "text": pl.String, "categories": pl.List(pl.String)},
        )
        return Dataset(
            item_ids=IdMap(ids), user_ids=IdMap(users), items=catalogue, users=users.to_frame("user"), log=log
        )

    return make


@pytest.fixture(scope="session")
def random_dataset(make_dataset: MakeDataset) -> Dataset:
    """Forty users over sixty items, one of which nobody touched."""
    rng = np.random.default_rng(3)
    return make_dataset([rng.choice(59, size=rng.integers(2, 15), replace=False) for _ in range(40)], 60)
