"""`Dataset`: interactions, items and users, as the caller named them, checked and cleaned."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.errors import DataError, nearest
from twofold.core.history import Histories
from twofold.core.ids import Codes, IdMap

__all__ = ["Dataset"]

LOG = ("indptr", "items", "values", "timestamps")
QUERIES = {"text": pl.String, "item": pl.String, "grade": pl.Float32, "timestamp": pl.Int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A catalogue, its users, and what they did.

    Tables are aligned with codes: row c of `items` is the item with code c, row c of `users` and
    row c of `log` belong to the user with code c. Items without events, users without a profile
    and events for items that no catalogue describes all have their row.
    """

    item_ids: IdMap
    user_ids: IdMap
    items: pl.DataFrame
    """One row an item: `item` (the caller's id), `title` and `text` (String, may be null), `categories`
    (List[String]) and any typed attributes."""
    users: pl.DataFrame
    """One row a user: `user` (the caller's id) and any attributes."""
    log: Histories
    """One row a user: all their events, the oldest first."""
    queries: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=QUERIES))
    """One row an answer to a search, clicked or judged: `text`, `item` (the caller's id), `grade` (Float32: 0 for a
    wrong answer, more for a better one) and `timestamp` (ms, null where unknown); see `with_queries`."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the data came from and what cleaning did, for reports; does not enter the fingerprint."""

    def __post_init__(self) -> None:
        if not (len(self.items) == len(self.item_ids) and len(self.users) == len(self.user_ids) == len(self.log)):
            raise ValueError("the tables of items and users must be aligned with their ids and with the log")

    @property
    def interactions(self) -> pl.DataFrame:
        """The log with the caller's ids: `user`, `item`, `timestamp` (ms), `value`."""
        return pl.DataFrame(
            {
                "user": self.user_ids.ids.gather(self.log.rows),
                "item": self.item_ids.ids.gather(self.log.items.astype(np.int64)),
                "timestamp": self.log.timestamps,
                "value": self.log.values,
            }
        )

    @property
    def item_counts(self) -> npt.NDArray[np.int64]:
        """Likes of each item, shape [items]."""
        return np.bincount(self.log.items[self.log.values > 0], minlength=len(self.items)).astype(np.int64)

    def with_log(self, log: Histories) -> "Dataset":
        """Return the same catalogue and users with another log."""
        return replace(self, log=log)

    def with_queries(self, queries: pl.DataFrame) -> "Dataset":
        """Return the same dataset with other searches of which answers are known.

        Args:
            queries: one row an answer: columns `text`, `item` (the caller's id) and, where known, `grade` (1 where
                missing: it was clicked) and `timestamp` (ms).

        Raises:
            DataError: a column is missing, unknown or of another type, a row has no text, a grade is below 0 or
                none, or an item is none of the catalogue.
        """
        if lost := {"text", "item"} - set(queries.columns):
            raise DataError(f"the queries have no column {min(lost)!r}; name each query's text and answer there.")
        for name in queries.columns:
            if name not in QUERIES:
                raise DataError(f"the queries have a column {name!r}; {nearest(name, QUERIES)}")
        given = {"grade": pl.lit(1.0), "timestamp": pl.lit(None)} | {name: pl.col(name) for name in queries.columns}
        types = QUERIES | {"item": self.item_ids.ids.dtype}
        try:
            frame = queries.select(given[name].cast(dtype).alias(name) for name, dtype in types.items())
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"the queries' columns are of other types than known ({str(error).splitlines()[0]}); "
                "give texts, ids, numbers and milliseconds."
            ) from None
        unknown = queries.filter(pl.Series(self.item_ids.encode_series(frame["item"]) < 0, dtype=pl.Boolean))
        if len(unknown):
            raise DataError(f"a query is answered by {unknown['item'][0]!r}, which is no item; remove that row.")
        if frame["text"].has_nulls() or not bool((frame["grade"] >= 0).fill_null(False).all()):
            raise DataError("a query has no text, or a grade that is no number from 0 on; remove that row.")
        return replace(self, queries=frame)

    def with_items(self, items: pl.DataFrame) -> tuple["Dataset", Codes]:
        """Return the dataset with items described anew or added, and the codes of these, rising.

        Args:
            items: a column `item` and any other columns of `items`; what is not given keeps its value, or is null.

        Raises:
            DataError: there is no column `item`, an item comes twice or has no id, a column is unknown, or a
                value does not fit its column.
        """
        given = self._fitting(items)
        fresh = given.filter(pl.Series(self.item_ids.encode_series(given["item"]) < 0))
        changed = self.items.update(given, on="item", how="left", maintain_order="left", include_nulls=True)
        frame = pl.concat([changed, fresh], how="diagonal")
        ids = IdMap(pl.concat([self.item_ids.ids, fresh["item"].alias("id")]))
        return replace(self, item_ids=ids, items=frame), np.sort(ids.encode_series(given["item"]))

    def _fitting(self, items: pl.DataFrame) -> pl.DataFrame:
        """Return new items with the types of the catalogue's columns, or say what is wrong with them."""
        if "item" not in items.columns:
            raise DataError("the new items have no column 'item'; name each item's id there.")
        for name in items.columns:
            if name not in self.items.columns:
                raise DataError(
                    f"the new items have a column {name!r}, which no item has; {nearest(name, self.items.columns)}"
                )
        try:
            given = items.select(pl.col(name).cast(self.items.schema[name]) for name in items.columns)
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"the new items do not fit the catalogue's columns ({str(error).splitlines()[0]}); "
                "give values of their types."
            ) from None
        if given["item"].has_nulls() or given["item"].is_duplicated().any():
            raise DataError("the new items have an id twice, or one without an id; give each item one row.")
        return given

    def fingerprint(self) -> str:
        """Return the sha256 of ids, log, catalogue and, where there are any, queries, as hexadecimal digits."""
        digest = hashlib.sha256()
        for ids in (self.item_ids.ids, self.user_ids.ids):
            digest.update("\n".join(map(str, ids)).encode())
        for array in (self.log.indptr, self.log.items, self.log.values, self.log.timestamps):
            digest.update(np.ascontiguousarray(array).data)
        digest.update(self.items.write_ndjson().encode())
        if len(self.queries):
            digest.update(self.queries.write_ndjson().encode())
        return digest.hexdigest()

    def titles(self, codes: Codes) -> list[str]:
        """Return the titles of items; an item without one is called by its id."""
        named: list[str | None] = self.items["title"][codes.astype(np.int64)].to_list()
        if all(named):
            return cast(list[str], named)
        return [title if title else str(id_) for title, id_ in zip(named, self.item_ids.decode(codes), strict=True)]

    def save(self, folder: Path) -> None:
        """Write everything into a new folder, as Arrow files that can be memory-mapped, npy and JSON."""
        folder.mkdir()
        for name, frame in self._frames().items():
            frame.write_ipc(folder / f"{name}.arrow", compression="uncompressed")
        for name in LOG:
            np.save(folder / f"{name}.npy", getattr(self.log, name), allow_pickle=False)
        (folder / "provenance.json").write_text(json.dumps(self.provenance, ensure_ascii=False), encoding="utf-8")

    def _frames(self) -> dict[str, pl.DataFrame]:
        ids = {"item_ids": self.item_ids.ids.to_frame(), "user_ids": self.user_ids.ids.to_frame()}
        queries = {"queries": self.queries} if len(self.queries) else {}
        return {**ids, "items": self.items, "users": self.users, **queries}

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Read what `save` wrote."""
        frames = {name: pl.read_ipc(folder / f"{name}.arrow") for name in ("item_ids", "user_ids", "items", "users")}
        queries = folder / "queries.arrow"
        known = {"queries": pl.read_ipc(queries)} if queries.exists() else {}
        log = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in LOG}
        return cls(
            item_ids=IdMap(frames["item_ids"]["id"]),
            user_ids=IdMap(frames["user_ids"]["id"]),
            items=frames["items"],
            users=frames["users"],
            log=Histories(**log),
            **known,
            provenance=json.loads((folder / "provenance.json").read_text(encoding="utf-8")),
        )

    def eligible(self, filters: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        """Return which items pass all filters, shape [items].

        A filter names a column of `items` and gives a value to equal, a list of values of which one must
        hold, or a table with `min` and/or `max` (inclusive). In a list column such as `categories`, one
        element that matches is enough. An item without a value does not pass.

        Raises:
            DataError: a column is unknown, or cannot be compared with the value.
        """
        mask = np.ones(len(self.items), bool)
        for name, wanted in filters.items():
            if name not in self.items.columns:
                raise DataError(
                    f"the filter names {name!r}, which no item has; filter by one of {', '.join(self.items.columns)}."
                )
            if isinstance(wanted, Mapping) and not wanted.keys() <= {"min", "max"}:
                raise DataError(f"the filter {name} = {wanted!r} is no range; give `min`, `max` or both.")
            if wanted is None:
                raise DataError(f"the filter {name} has no value; give one, or leave the filter out.")
            try:
                passed = self.items.select(_condition(pl.col(name), self.items.schema[name] == pl.List, wanted))
            except (pl.exceptions.PolarsError, TypeError):
                raise DataError(
                    f"the filter {name} = {wanted!r} does not fit a column of {self.items.schema[name]}; "
                    "give a value of that type."
                ) from None
            mask &= passed.to_series().fill_null(False).to_numpy()
        return mask


def _condition(column: pl.Expr, listed: bool, wanted: Any) -> pl.Expr:
    if listed:
        return column.list.eval(_condition(pl.element(), False, wanted)).list.any()
    if isinstance(wanted, Mapping):
        ends = ((column.ge, wanted.get("min")), (column.le, wanted.get("max")))
        bounds = [holds(end) for holds, end in ends if end is not None]
        return pl.all_horizontal(bounds) if bounds else column.is_not_null()
    if isinstance(wanted, list | tuple | set | frozenset):
        return column.is_in(list(wanted))
    return column.eq(wanted)
