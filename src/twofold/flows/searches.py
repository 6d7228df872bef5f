"""Searches whose answers are known: those that people made, or some that are made up from the catalogue."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes

__all__ = ["Searches", "asked", "made_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searches:
    """Search texts, and for each the items that answer it."""

    texts: list[str]
    targets: Histories
    """A row a text; the value of an event is its grade, above 0."""

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: npt.NDArray[np.integer]) -> "Searches":
        """Return the given searches, in the given order."""
        return Searches(texts=[self.texts[row] for row in rows], targets=self.targets.take(rows))

    def sample(self, count: int, rng: np.random.Generator) -> "Searches":
        """Return at most `count` of them, drawn without replacement, in their order."""
        if len(self) <= count:
            return self
        return self.take(np.sort(rng.choice(len(self), count, replace=False)))


def asked(dataset: Dataset) -> Searches:
    """Return the searches of a dataset with their right answers; the same text is one search."""
    right = dataset.queries.filter(pl.col("grade") > 0)
    texts = right["text"].unique(maintain_order=True)
    rows = right["text"].replace_strict(texts, pl.arange(len(texts), eager=True)) if len(texts) else right["text"]
    targets = Histories.from_events(
        rows.cast(pl.Int64).to_numpy(),
        dataset.item_ids.encode_series(right["item"]),
        right["grade"].to_numpy(),
        np.zeros(len(right), np.int64),
        size=len(texts),
    )
    return Searches(texts=texts.to_list(), targets=targets)


def made_up(dataset: Dataset, count: int, rng: np.random.Generator) -> tuple[Dataset, Searches, Codes]:
    """Make up searches from what the catalogue says of its items.

    An item's title is taken away from it and becomes a search, which should find the item by its text. An item
    without a title or without a text is left out, and so are items that share their title.

    Args:
        dataset: the catalogue; it is not changed.
        count: how many searches, at most.
        rng: draws the items.

    Returns:
        The dataset with those items described by the rest alone, the searches, and the codes of the items, rising.
    """
    filled = (pl.col(name).fill_null("").str.strip_chars() != "" for name in ("title", "text"))
    usable = dataset.items.select(pl.all_horizontal(*filled) & pl.col("title").is_unique()).to_series()
    codes = usable.arg_true().to_numpy().astype(np.int32)
    codes = np.sort(rng.choice(codes, count, replace=False)) if len(codes) > count else codes
    titles = dataset.items["title"].gather(codes.astype(np.int64))
    hidden = dataset.items["title"].scatter(codes.astype(np.int64), None)
    searches = Searches(texts=titles.to_list(), targets=Histories.from_lists(codes[:, None].tolist()))
    return replace(dataset, items=dataset.items.with_columns(title=hidden)), searches, codes
