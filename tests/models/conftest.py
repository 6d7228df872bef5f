"""A tiny log whose models can be computed by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Histories, IdMap
from twofold.core.stage import Encoder

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


class Letters(Encoder):
    """An encoder that says of an item which letter stands first."""

    reads = ("text",)

    def fit(self, dataset: Dataset, *, rng=None) -> "Letters":
        self.vectors = self.encode_items(dataset.items)
        return self

    def encode(self, values, modality):
        raise NotImplementedError

    def encode_items(self, items: pl.DataFrame):
        found = np.zeros((len(items), 3), np.float32)
        for row, title in enumerate(items["title"]):
            if title[0] in "abc":
                found[row, "abc".index(title[0])] = 1
        return found


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture(scope="session")
def lettered(make_dataset) -> Dataset:
    """Items whose titles begin with a, b or c; after one with a comes one with b, then c. The last two are new."""
    letters = ["a", "b", "c"] * 4 + ["b", "x"]
    rng = np.random.default_rng(5)
    lists = [[3 * rng.integers(4) + step % 3 for step in range(rng.integers(3), 9)] for _ in range(80)]
    dataset = make_dataset(lists, len(letters))
    titles = [f"{letter}{code}" for code, letter in enumerate(letters)]
    return Dataset(
        item_ids=dataset.item_ids,
        user_ids=dataset.user_ids,
        items=dataset.items.with_columns(title=pl.Series(titles)),
        users=dataset.users,
        log=dataset.log,
    )
