"""Cleaning: rows of interactions, items and users become a Dataset, with a report of what was done."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.core.history import Histories
from twofold.core.ids import Codes, IdMap
from twofold.data.catalogue import align, describe_items, describe_users, enrich
from twofold.data.columns import ColumnMapping, guess_columns
from twofold.data.report import CleaningReport
from twofold.data.rules import Cleaning, Log, apply_rules, select_events
from twofold.data.table import Table

__all__ = ["Cleaned", "Cleaning", "clean"]

EXAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """A dataset, what was done to get it, and what was set aside."""

    dataset: Dataset
    report: CleaningReport
    rejected: pl.DataFrame
    """Every row of interactions that was set aside: `line`, `reason` and `text`."""


def clean(
    interactions: Table,
    items: Table | None = None,
    users: Table | None = None,
    *,
    cleaning: Cleaning | None = None,
    columns: Mapping[str, str] | None = None,
    more_items: Table | None = None,
    source: str = "",
) -> Cleaned:
    """Make a Dataset out of tables as they were read.

    Args:
        interactions: a row an event.
        items: a row an item; codes follow its order, then items that only events name.
        users: a row a user.
        cleaning: the options.
        columns: roles to columns, where names do not say it; see `guess_columns`.
        more_items: what else is known of the items.
        source: where it came from, for the report.

    Raises:
        DataError: a needed column is missing or unusable, or nothing is left.
    """
    options = cleaning or Cleaning()
    mappings = {"interactions": guess_columns(interactions.frame.columns, "interactions", columns)}
    tables = [table for table in (interactions, items, more_items, users) if table is not None]
    found: dict[str, Any] = {
        "source": source,
        "rows_read": len(interactions.frame) + len(interactions.rejected),
        "malformed": sum(len(table.rejected) for table in tables),
    }
    notes = [note for table in tables for note in table.notes]
    events = {role: interactions.frame[name] for role, name in mappings["interactions"].columns.items()}
    lines, malformed = interactions.lines, interactions.rejected
    del interactions, tables
    log = select_events(lines, events, options, found, notes)
    log.rejected.append(malformed)
    del lines
    apply_rules(log, options, found)
    catalogue, profiles = None, None
    if items is not None:
        mappings["items"] = guess_columns(items.frame.columns, "items", columns)
        catalogue, found["catalogue_duplicates"] = describe_items(items, mappings["items"])
    if more_items is not None:
        mappings["more items"] = guess_columns(more_items.frame.columns, "items", columns)
        more, _ = describe_items(more_items, mappings["more items"])
        catalogue = more if catalogue is None else enrich(catalogue, more)
    if users is not None:
        mappings["users"] = guess_columns(users.frame.columns, "users", columns)
        profiles, _ = describe_users(users, mappings["users"])
    if not len(log.frame) and not (catalogue is not None and len(catalogue)):
        lost = "; ".join(f"{reason}: {count:,}" for reason, count in found["missing"].items()) or "there is no row"
        raise DataError(f"{source or 'the data'} hold no event that can be used ({lost}); check the columns.")
    dataset = _encode(log, catalogue, profiles)
    rejected = pl.concat(log.rejected).sort("line", maintain_order=True)
    report = _report(dataset, catalogue, rejected, mappings, {**found, "notes": notes})
    return Cleaned(dataset=replace(dataset, provenance=report.as_dict()), report=report, rejected=rejected)


def _encode(log: Log, catalogue: pl.DataFrame | None, profiles: pl.DataFrame | None) -> Dataset:
    if catalogue is None:
        text = pl.String
        catalogue = pl.DataFrame(
            schema={"item": log.ids["item"].dtype, "title": text, "text": text, "categories": pl.List(pl.String)}
        )
    log.frame = log.frame.drop("line")
    items, item_codes = _coded(log, catalogue, "item", seen_first=False)
    users, user_codes = _coded(log, profiles, "user", seen_first=True)
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(users["user"]),
        items=items.with_columns(pl.col("categories").fill_null([])),
        users=users,
        log=Histories.from_events(
            user_codes,
            item_codes,
            log.frame.drop_in_place("value").to_numpy(),
            log.frame.drop_in_place("timestamp").to_numpy(),
            size=len(users),
        ),
    )


def _coded(log: Log, table: pl.DataFrame | None, role: str, *, seen_first: bool) -> tuple[pl.DataFrame, Codes]:
    """Return the table with a row for every user or item, and the code of each event in it."""
    codes, ids = log.codes(role), log.ids[role]
    present = _present(codes, len(ids))
    table, seen = align(table, ids.filter(pl.Series(present)), role, seen_first=seen_first)
    new = np.full(len(ids), -1, np.int32)
    new[present] = IdMap(table[role]).encode_series(seen)
    log.frame = log.frame.drop(role)
    return table, new[codes]


def _present(codes: Codes, size: int) -> npt.NDArray[np.bool_]:
    """Return which of the codes 0 … size-1 occur."""
    present = np.zeros(size, bool)
    present[codes] = True
    return present


def _report(
    dataset: Dataset,
    catalogue: pl.DataFrame | None,
    rejected: pl.DataFrame,
    mappings: Mapping[str, ColumnMapping],
    found: Mapping[str, Any],
) -> CleaningReport:
    log = dataset.log
    known = log.timestamps != 0
    oldest = int(log.timestamps.min(where=known, initial=np.iinfo(np.int64).max))
    newest = int(log.timestamps.max(where=known, initial=np.iinfo(np.int64).min))
    described = 0 if catalogue is None else len(catalogue)
    busy = _present(log.items, len(dataset.items))
    return CleaningReport(
        **found,
        rows_kept=len(log.items),
        users=len(dataset.users),
        items=len(dataset.items),
        unknown_items=len(dataset.items) - described if catalogue is not None else 0,
        silent_items=int((~busy[:described]).sum()),
        likes=int((log.values > 0).sum()),
        neutral=int((log.values == 0).sum()),
        dislikes=int((log.values < 0).sum()),
        columns={name: dict(mapping.columns) for name, mapping in mappings.items()},
        guessed={name: list(mapping.guessed) for name, mapping in mappings.items()},
        first=_iso(oldest) if newest >= oldest else None,
        last=_iso(newest) if newest >= oldest else None,
        examples=[f"line {line:,}: {reason}: {text}" for line, reason, text in rejected.head(EXAMPLES).iter_rows()],
    )


def _iso(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)
