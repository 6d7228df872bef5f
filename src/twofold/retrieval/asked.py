"""`Asked`: what people searched for before they took an item, for the search index to find it by."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl

from twofold.core import Dataset, Expander
from twofold.core.ids import Codes

__all__ = ["Asked", "AskedConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedConfig:
    """Options of `Asked`."""

    most: int = 50
    """Searches kept of each item: the best graded, then the newest."""

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError("searches that led to an item want most >= 1.")


class Asked(Expander):
    """Writes beside each item the searches of `Dataset.queries` that it answers, each once.

    People search for the same thing in similar words, and seldom in the item's own. What was asked once is found
    at once when it is asked again. An item that nobody came to by a search has nothing written beside it.

    A stage that learns from the same searches must not name a retriever that knows them: it would find every one of
    them without fail, and teach nothing about searches to come.

    Xue et al., "Optimizing Web Search Using Web Click-through Data", CIKM 2004.
    """

    Config: ClassVar[type] = AskedConfig
    config: AskedConfig

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Gather the searches and return self."""
        answers = dataset.queries.with_columns(code=pl.Series(dataset.item_ids.encode_series(dataset.queries["item"])))
        lines = (
            answers.filter(pl.col("grade") > 0)
            .sort("grade", "timestamp", descending=True, nulls_last=True, maintain_order=True)
            .unique(["code", "text"], keep="first", maintain_order=True)
            .group_by("code", maintain_order=True)
            .agg(pl.col("text").head(self.config.most).str.join("\n"))
        )
        codes = pl.DataFrame({"code": np.arange(len(dataset.items), dtype=np.int32)})
        self.expansions = codes.join(lines, on="code", how="left", maintain_order="left")["text"]
        return self

    def learns_searches(self) -> bool:
        """See `Stage.learns_searches`."""
        return True

    def update(self, dataset: Dataset, changed: Codes) -> None:
        """Make room for new items; what was asked for the others stays, however they are described."""
        self.expansions = self.expansions.extend_constant(None, len(dataset.items) - len(self.expansions))

    def save(self, folder: Path) -> None:
        """Write the searches, a line each, into an existing, empty folder."""
        pl.DataFrame({"queries": self.expansions}).write_ipc(folder / "queries.arrow", compression="uncompressed")

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote."""
        self.expansions = pl.read_ipc(folder / "queries.arrow")["queries"]
