"""Split: what a model may learn from, and what it must then find.

    global-time             the newest share of all events is the test part, for everybody at one moment
    leave-one-out           the last like of each user, as in the published tables of sequential models
    strong-generalisation   some users whom the model never saw; their older events are given, the later ones sought

In each, only the first event of a pair of user and item can be a target, and only if it is a like: what
somebody had already is no discovery. So no pair is in the train part and a target, and no pair is in a
case's history and its targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError, nearest
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.scores import Mask

__all__ = ["Cases", "Split", "protocol", "split"]

Index = npt.NDArray[np.int64]
Kind = Literal["global-time", "leave-one-out", "strong-generalisation"]
Evolution = Literal["rolling", "frozen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Options of splitting.

    Raises:
        ValueError: an option is out of range.
    """

    kind: Kind = "global-time"
    test: float = 0.1
    """global-time: the share of events that are newest; strong-generalisation: the share of users held out."""
    history: Evolution = "rolling"
    """global-time only. `rolling`: each test like is a case of its own, and all that its user did at an earlier
    time is given, be it in the test part; `frozen`: a user is one case, and only the train part is given."""
    targets_per_user: int = 20
    """global-time with a rolling history only: at most so many cases a user, spread evenly over their test likes."""
    seed: int = 0
    """strong-generalisation only: chooses the users."""
    min_history: int = 0
    """A case whose history has fewer events is left out."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind cannot be {self.kind!r}; {nearest(self.kind, get_args(Kind))}")
        if self.history not in get_args(Evolution):
            raise ValueError(f"history cannot be {self.history!r}; {nearest(self.history, get_args(Evolution))}")
        if not 0 < self.test < 1 or self.targets_per_user < 1 or self.min_history < 0 or self.seed < 0:
            raise ValueError(
                "a split wants test between 0 and 1, targets_per_user >= 1, min_history >= 0 and seed >= 0."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """What is asked in an evaluation, one row a case: given this history, find these targets."""

    users: Codes
    """User codes, shape [c]; with a rolling history, a user has several cases."""
    histories: Histories
    """All the evidence before the prediction, c rows."""
    targets: Histories
    """The likes to be found, c rows of at least one."""

    def __post_init__(self) -> None:
        if not len(self.users) == len(self.histories) == len(self.targets):
            raise ValueError("users, histories and targets must have a row for each case")

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: npt.NDArray[np.integer]) -> "Cases":
        """Return the given cases, in the given order."""
        return Cases(users=self.users[rows], histories=self.histories.take(rows), targets=self.targets.take(rows))

    def sample(self, count: int, rng: np.random.Generator | int = 0) -> "Cases":
        """Return at most `count` cases, drawn without replacement, in their order."""
        if len(self) <= count:
            return self
        return self.take(np.sort(np.random.default_rng(rng).choice(len(self), count, replace=False)))

    def parts(self, size: int) -> Iterator[tuple[Index, "Cases"]]:
        """Give the cases `size` at a time, each part with the places of its cases."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield rows, self.take(rows)

    def allowed(self, n_items: int) -> Mask:
        """Return which items a case may be answered with: those not in its history, shape [c, n_items]."""
        mask = np.ones((len(self), n_items), bool)
        mask[self.histories.rows, self.histories.items] = False
        return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A split as positions in the log."""

    train: npt.NDArray[np.bool_]
    """Which events are in the train part, shape [events]."""
    users: Index
    """User of each case, shape [c]."""
    ends: Index
    """Where the history of each case ends in the log, which begins with the user's first event, shape [c]."""
    counts: Index
    """How many targets each case has, shape [c]."""
    targets: Index
    """Positions of all targets, case by case."""
    cutoff: int | None = None


def split(dataset: Dataset, options: Split | None = None) -> tuple[Dataset, Cases]:
    """Split a dataset into what a model is fitted on, and the cases it is then asked.

    The order of events is by time, then as in the file; a rolling history holds earlier times alone. The
    train part has the same ids and tables, so codes mean the same in both, and it can be split once more for
    validation. Equal data and options give an equal split.

    Args:
        dataset: what to split.
        options: how; global time by default.

    Returns:
        The train part, without queries of the test part's time, and the cases. A user without a target is no case.

    Raises:
        DataError: a split by time is wanted, and all events are at one time.
    """
    options, log = options or Split(), dataset.log
    plan = _plan(log, len(dataset.items), options)
    starts = log.indptr[plan.users]
    rows = np.arange(len(plan.users))
    targets = Histories(
        indptr=np.concatenate(([0], np.cumsum(plan.counts))).astype(np.int64),
        items=log.items[plan.targets],
        values=log.values[plan.targets],
        timestamps=log.timestamps[plan.targets],
    )
    cases = Cases(users=plan.users.astype(np.int32), histories=_spans(log, starts, plan.ends - starts), targets=targets)
    keep = rows[cases.histories.lengths >= options.min_history]
    train = dataset.with_log(log.where(plan.train))
    if plan.cutoff is not None:
        train = replace(train, queries=train.queries.filter((pl.col("timestamp") < plan.cutoff).fill_null(True)))
    return train, cases if len(keep) == len(rows) else cases.take(keep)


def protocol(options: Split, dataset: Dataset, cases: Cases) -> dict[str, Any]:
    """Describe a split in plain values, for the protocol card of a report.

    Args:
        options: how the split was made.
        dataset: what was split: the whole, not its train part.
        cases: what came out of it, or some of them.
    """
    plan = _plan(dataset.log, len(dataset.items), options)
    known = np.bincount(dataset.log.items[plan.train], minlength=len(dataset.items)) > 0
    cold = cases.histories.lengths == 0
    card: dict[str, Any] = {"split": options.kind}
    if options.kind != "leave-one-out":
        card["test"] = options.test
    if plan.cutoff is not None:
        card["history"] = options.history
        card["cutoff"] = datetime.fromtimestamp(plan.cutoff / 1000, UTC).isoformat(timespec="milliseconds")
        if options.history == "rolling":
            card["targets_per_user"] = options.targets_per_user
    return {
        **card,
        "min_history": options.min_history,
        "seed": options.seed,
        "train_events": int(plan.train.sum()),
        "cases": len(cases),
        "users": len(np.unique(cases.users)),
        "targets": len(cases.targets.items),
        "cold_users": len(np.unique(cases.users[cold])),
        "cold_cases": int(cold.sum()),
        "cold_item_targets": int((~known[cases.targets.items]).sum()),
    }


def _plan(log: Histories, n_items: int, options: Split) -> _Plan:
    if options.kind == "leave-one-out":
        return _leave_one_out(log, _discoveries(log, n_items), options)
    if options.kind == "strong-generalisation":
        return _strong_generalisation(log, _discoveries(log, n_items), options)
    cutoff = _cutoff(log.timestamps, options.test)
    train = log.timestamps < cutoff
    targets = np.flatnonzero(_discoveries(log, n_items) & ~train)
    if options.history == "frozen":
        ends = log.indptr[:-1] + np.bincount(log.rows[train], minlength=len(log))
        return _one_case_a_user(log, train, ends, targets, cutoff)
    # What was rated in the same second came in one go: its order in the file says nothing about what led to what.
    before = _moments(log)
    targets = targets[before[targets] - log.indptr[log.rows[targets]] >= options.min_history]
    targets = targets[_spread(log.rows[targets], options.targets_per_user)]
    return _one_case_a_target(log, train, targets, before[targets], cutoff)


def _leave_one_out(log: Histories, discoveries: npt.NDArray[np.bool_], options: Split) -> _Plan:
    rows = log.rows
    places = np.flatnonzero(discoveries & (np.arange(len(rows)) - log.indptr[rows] >= max(1, options.min_history)))
    # The last one of each user; whoever has none keeps all events in the train part.
    targets = places[np.append(rows[places][1:] != rows[places][:-1], True)[: len(places)]]
    ends = log.indptr[1:].copy()
    ends[rows[targets]] = targets
    return _one_case_a_target(log, np.arange(len(rows)) < ends[rows], targets, targets, None)


def _strong_generalisation(log: Histories, discoveries: npt.NDArray[np.bool_], options: Split) -> _Plan:
    eligible = np.flatnonzero(log.lengths >= 2)
    count = min(max(round(options.test * len(eligible)), 1), max(len(eligible) - 1, 0))
    held = np.zeros(len(log), bool)
    held[np.random.default_rng(options.seed).permutation(eligible)[:count]] = True
    rows = log.rows
    ends = log.indptr[:-1] + log.lengths * 4 // 5
    targets = np.flatnonzero(discoveries & held[rows] & (np.arange(len(rows)) >= ends[rows]))
    return _one_case_a_user(log, ~held[rows], ends, targets, None)


def _one_case_a_target(
    log: Histories, train: npt.NDArray[np.bool_], targets: Index, ends: Index, cutoff: int | None
) -> _Plan:
    ones = np.ones(len(targets), np.int64)
    return _Plan(train=train, users=log.rows[targets], ends=ends, counts=ones, targets=targets, cutoff=cutoff)


def _one_case_a_user(
    log: Histories, train: npt.NDArray[np.bool_], ends: Index, targets: Index, cutoff: int | None
) -> _Plan:
    users, counts = np.unique(log.rows[targets], return_counts=True)
    return _Plan(train=train, users=users, ends=ends[users], counts=counts, targets=targets, cutoff=cutoff)


def _cutoff(times: npt.NDArray[np.int64], test: float) -> int:
    """Return the time at which the test part begins; all events of one moment are on one side."""
    if not len(times):
        return 0
    oldest, newest = int(times.min()), int(times.max())
    if oldest == newest:
        raise DataError(
            "all events are at one time, so they cannot be split by time; "
            'give a column of times, or set split.kind = "leave-one-out".'
        )
    place = min(max(len(times) - round(test * len(times)), 0), len(times) - 1)
    found = int(np.partition(times, place)[place])
    return found if found > oldest else int(times[times > oldest].min())


def _discoveries(log: Histories, n_items: int) -> npt.NDArray[np.bool_]:
    """Return which events are likes and the first event of their pair, shape [events]."""
    pairs = log.rows * max(n_items, 1) + log.items
    order = np.argsort(pairs, kind="stable")
    first = np.zeros(len(pairs), bool)
    first[order[np.append(True, pairs[order][1:] != pairs[order][:-1])[: len(pairs)]]] = True
    return first & (log.values > 0)


def _moments(log: Histories) -> Index:
    """Return for each event where its user's first event of the same time is, shape [events]."""
    rows, times, places = log.rows, log.timestamps, np.arange(len(log.items))
    first = np.ones(len(places), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (times[1:] != times[:-1])
    return np.maximum.accumulate(np.where(first, places, 0))


def _spread(rows: Index, count: int) -> npt.NDArray[np.bool_]:
    """Choose at most `count` of each run of equal rows, evenly; the last of a run is always among them."""
    _, starts, lengths = np.unique(rows, return_index=True, return_counts=True)
    places, totals = np.arange(len(rows)) - np.repeat(starts, lengths), np.repeat(lengths, lengths)
    wanted = np.minimum(totals, count)
    chosen: npt.NDArray[np.bool_] = (places + 1) * wanted // totals > places * wanted // totals
    return chosen


def _spans(log: Histories, starts: Index, lengths: Index) -> Histories:
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    index = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
    return Histories(indptr=indptr, items=log.items[index], values=log.values[index], timestamps=log.timestamps[index])
