"""`Live`: a fitted pipeline that follows the event store, so that answers know what happened since the fit.

Clicks, ratings and removals count as soon as they are read. Items that are new or described anew are put into a fork
of the pipeline, which takes the place of the one that answers when it is ready.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError, TwofoldError
from twofold.core.event import Event
from twofold.core.history import Histories
from twofold.core.ids import Id
from twofold.core.pipeline import Pipeline
from twofold.events import EventStore, Stored
from twofold.serve.experiments import Experiments
from twofold.serve.worth import Worth

__all__ = ["Live", "Stamp", "item_rows"]

log = logging.getLogger("twofold.serve")

AT_ONCE = 5_000
"""Events that are read in one go."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did to an item."""

    item: Id
    value: float
    timestamp: int


class Stamp(NamedTuple):
    """What the answer to a question depends on beside the question: numbers that grow whenever it may have changed."""

    catalogue: int
    """Items, and which of them may be shown."""
    user: int
    """What the user did."""
    others: int
    """What anybody did."""


class Live:
    """A pipeline and what happened since it was fitted.

    Args:
        pipeline: a fitted one, which belongs to this object from now on.
        store: the events.
        after: the newest event that the pipeline was fitted on.
        name: what the artifact is called in answers.
        experiments: told of those that begin or stop.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        store: EventStore,
        *,
        after: int = 0,
        name: str = "",
        experiments: Experiments | None = None,
    ) -> None:
        self.name, self.offset = name, after
        self.experiments = Experiments() if experiments is None else experiments
        self.users: dict[str, dict[str, Any]] = {}
        self.hidden: set[str] = set()
        self.refused = 0
        """Descriptions of items that did not fit this artifact's catalogue."""
        self.news = threading.Event()
        """Set while descriptions of items wait for `put_items`."""
        self.worth = Worth.of(pipeline.recipe)
        self._store = store
        self._deeds: dict[str, deque[Deed]] = {}
        self._forgotten: set[str] = set()
        self._described: dict[str, Event] = {}
        # All three grow behind the change that they tell of: what was made meanwhile then counts as made before it.
        self._catalogues, self._others, self._told = 0, 0, Counter[str]()
        self._missed: list[Histories] | None = None
        self._following, self._putting, self._changing = threading.Lock(), threading.Lock(), threading.Lock()
        self._pipeline = pipeline
        pipeline.activity = self._activity

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that answers now; take it once for each answer."""
        return self._pipeline

    def stamp(self, user: Id | None) -> Stamp:
        """Return what an answer to a user, or to nobody in particular, depends on now."""
        told = 0 if user is None else self._told[str(user)]
        return Stamp(self._catalogues, told, self._others)

    def catch_up(self) -> None:
        """Take in all that is stored, items too."""
        self.follow()
        self.put_items()

    def follow(self) -> int:
        """Take in what was stored since the last time, and return how many events it was.

        Raises:
            StoreError: the store cannot be read.
        """
        count, more = 0, True
        with self._following:
            while more and (found := self._store.read(self.offset, AT_ONCE)):
                self._take(found)
                self.offset = found[-1].offset
                count += len(found)
                more = len(found) == AT_ONCE
        return count

    def _take(self, found: Sequence[Stored]) -> None:
        deeds: list[Deed] = []
        before = set(self.hidden)
        for stored in found:
            event = stored.event
            self.experiments.take(event)
            if event.kind == "item":
                self._describe(event)
            elif event.kind == "item-removed":
                self.hidden.add(str(event.item))
            elif event.kind == "user":
                self.users[str(event.user)] = {**self.users.get(str(event.user), {}), **(event.attributes or {})}
            elif event.kind == "user-removed":
                self._forget(str(event.user))
            else:
                value = self.worth.of_event(event)
                if value is not None:
                    deeds.append(self._did(event, value))
        if before != self.hidden:
            self._hide()
        if deeds:
            self._observe(deeds)
        if self._described:
            self.news.set()

    def _describe(self, event: Event) -> None:
        """Keep what is said of an item until `put_items`; later words count."""
        key = str(event.item)
        with self._changing:
            known = self._described.get(key)
            attributes = {**(known.attributes or {} if known else {}), **(event.attributes or {})}
            self._described[key] = replace(event, attributes=attributes)
        self.hidden.discard(key)

    def _did(self, event: Event, value: float) -> Deed:
        deed = Deed(cast(Id, event.item), value, event.timestamp)
        if event.user is not None:
            key = str(event.user)
            if key not in self._deeds:
                self._deeds[key] = deque(maxlen=self._pipeline.recipe.recent)
            self._deeds[key].append(deed)
            self._told[key] += 1
        return deed

    def _forget(self, user: str) -> None:
        self._forgotten.add(user)
        self._deeds.pop(user, None)
        self.users.pop(user, None)
        self._told[user] += 1

    def _observe(self, deeds: Sequence[Deed]) -> None:
        with self._changing:
            events = _events(deeds, self._pipeline.dataset)
            self._pipeline.observe(events)
            if self._missed is not None:
                self._missed.append(events)
            self._others += 1

    def _hide(self) -> None:
        with self._changing:
            self._pipeline.available = self._available(self._pipeline.dataset)
            self._catalogues += 1

    def _available(self, dataset: Dataset) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        if not self.hidden:
            return None
        mask = np.ones(len(dataset.items), bool)
        codes = dataset.item_ids.encode(tuple(self.hidden))
        mask[codes[codes >= 0]] = False
        return mask

    def put_items(self) -> int:
        """Let descriptions of items that were read count, and return how many there were."""
        with self._putting:
            self.news.clear()
            with self._changing:
                described, self._described = self._described, {}
                if not described:
                    return 0
                self._missed = []
                fork = self._pipeline.fork()
            fork = self._with_items(fork, list(described.values()))
            with self._changing:
                for events in self._missed:
                    fork.observe(events)
                self._missed = None
                fork.available = self._available(fork.dataset)
                self._pipeline = fork
                self._catalogues += 1
            return len(described)

    def _with_items(self, pipeline: Pipeline, described: Sequence[Event]) -> Pipeline:
        """Return a fork of a pipeline that knows the items which fit its catalogue; another artifact's may be other."""
        fork = pipeline.fork()
        try:
            fork.put_items(item_rows(fork.dataset, described))
        except TwofoldError as error:
            if len(described) == 1:
                self.refused += 1
                log.warning("item %r was left out: %s", described[0].item, error)
                return pipeline
            middle = len(described) // 2
            return self._with_items(self._with_items(pipeline, described[:middle]), described[middle:])
        return fork

    def events_of(self, user: Id) -> Histories:
        """Return all that counts of what a user did, as one row."""
        dataset = self._pipeline.dataset
        code = dataset.user_ids.find(user)
        return self._activity(user, dataset.log.row(code) if code >= 0 else Histories.empty(1))

    def about_user(self, user: Id) -> dict[str, Any]:
        """Return what is said of a user."""
        dataset, key = self._pipeline.dataset, str(user)
        code = -1 if key in self._forgotten else dataset.user_ids.find(user)
        row = dataset.users.row(code, named=True) if code >= 0 else {}
        return {name: value for name, value in row.items() if name != "user"} | self.users.get(key, {})

    def _activity(self, user: Id, logged: Histories) -> Histories:
        key = str(user)
        if key in self._forgotten:
            logged = Histories.empty(1)
        deeds = self._deeds.get(key)
        if not deeds:
            return logged
        both = Histories.concatenate([logged, _events(tuple(deeds), self._pipeline.dataset)])
        return replace(both, indptr=both.indptr[[0, -1]])


def item_rows(dataset: Dataset, described: Sequence[Event]) -> pl.DataFrame:
    """Return rows of items as `Dataset.with_items` wants them; what is not said of a known item stays.

    Raises:
        DataError: an attribute is no column of the catalogue, or its values are of several types.
    """
    names = dict.fromkeys(name for event in described for name in event.attributes or {})
    if "item" in names:
        raise DataError("the attributes name 'item', which is the id itself; leave it out.")
    codes = dataset.item_ids.encode(event.item for event in described)
    known = {int(code): dataset.items.row(int(code), named=True) for code in codes if code >= 0}
    columns = [_column("item", [event.item for event in described], dataset)]
    for name in names:
        was = [known.get(int(code), {}).get(name) for code in codes]
        cells = [(event.attributes or {}).get(name, old) for event, old in zip(described, was, strict=True)]
        columns.append(_column(name, cells, dataset))
    return pl.DataFrame(columns)


def _column(name: str, cells: list[Any], dataset: Dataset) -> pl.Series:
    kind = dataset.items.schema.get(name)
    if kind == pl.String or name == "item":
        cells = [cell if cell is None or isinstance(cell, list | dict) else str(cell) for cell in cells]
    try:
        return pl.Series(name, cells, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise DataError(f"the values of {name!r} do not fit that column, which is of {kind}; mend them.") from None


def _events(deeds: Sequence[Deed], dataset: Dataset) -> Histories:
    """Return what was done to items that are known, as one row."""
    codes = dataset.item_ids.encode(deed.item for deed in deeds)
    kept = [(code, deed) for code, deed in zip(codes.tolist(), deeds, strict=True) if code >= 0]
    return Histories(
        indptr=np.array([0, len(kept)], np.int64),
        items=np.array([code for code, _ in kept], np.int32),
        values=np.array([deed.value for _, deed in kept], np.float32),
        timestamps=np.array([deed.timestamp for _, deed in kept], np.int64),
    )
