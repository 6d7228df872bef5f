"""`Questions`: what a pipeline is asked while its steps are measured: searches and histories with known answers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch, Query
from twofold.data import Split, split
from twofold.flows.searches import Searches, asked

__all__ = ["K", "Kind", "Questions", "held_out"]

Kind = Literal["text", "history"]
K = 10
"""How many results are asked for."""
FEWEST = 20
"""Fewer questions of a kind tell nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Questions of one kind, a row each."""

    texts: list[str] | None = None
    """What is searched for; None where histories ask."""
    histories: Histories
    """What was done before; empty rows where texts ask."""
    targets: Histories
    """The items to be found, each row at least one."""
    askers: npt.NDArray[np.integer]
    """Who asks each; one that asks several is no more to be relied on than one that asks once."""
    whence: str
    """Where they are from, for the protocol."""

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: npt.NDArray[np.integer]) -> "Questions":
        """Return the given questions, in the given order."""
        return replace(
            self,
            texts=None if self.texts is None else [self.texts[row] for row in rows],
            histories=self.histories.take(rows),
            targets=self.targets.take(rows),
            askers=self.askers[rows],
        )

    def batch(self, pipeline: Pipeline) -> Batch:
        """Return all as one batch, in which nobody is shown what they had."""
        if self.texts is not None:
            return Batch.of_texts(self.texts)
        allowed = np.ones((len(self), len(pipeline.dataset.items)), bool)
        allowed[self.histories.rows, self.histories.items] = False
        return Batch.of_histories(self.histories.last(pipeline.recipe.recent), allowed)

    def query(self, row: int, pipeline: Pipeline) -> Query:
        """Return one as a caller would ask it."""
        if self.texts is not None:
            return Query(text=self.texts[row], k=K)
        return Query(history=pipeline.dataset.item_ids.decode(self.histories.row(row).items), k=K)


def held_out(
    pipeline: Pipeline, most: int, rng: np.random.Generator, *, newer: Dataset | None = None
) -> dict[Kind, Questions]:
    """Return questions of each kind that a pipeline answers, at most so many of a kind.

    Of histories, they are the likes in a newer dataset behind the last event that the pipeline was fitted on. Without
    one, they are each user's newest event, where it is a like, of which no case is new to the pipeline: what a step
    keeps of the pipeline's own quality is then all that they tell. Searches are those of the newer dataset, else those
    that the pipeline was fitted on, else titles of items.

    Raises:
        DataError: there are too few of either kind.
    """
    found: dict[Kind, Questions] = {}
    makers: dict[Kind, Callable[[Pipeline, Dataset | None, int, np.random.Generator], Questions]] = {
        "text": _searches,
        "history": _histories,
    }
    for kind, make in makers.items():
        if pipeline.recipe.evidence.of(kind):
            questions = make(pipeline, newer, most, rng)
            if len(questions) >= FEWEST:
                found[kind] = questions.take(rng.permutation(len(questions))[:most])
    if not found:
        raise DataError(
            f"measuring steps needs {FEWEST} searches or histories with a known answer, and there are fewer; "
            "give more data, or fit on more."
        )
    return found


def _searches(pipeline: Pipeline, newer: Dataset | None, most: int, rng: np.random.Generator) -> Questions:
    dataset, whence = pipeline.dataset, "searches of people that the pipeline was fitted on"
    if newer is not None and len(newer.queries):
        queries = newer.queries.filter(dataset.item_ids.encode_series(newer.queries["item"]) >= 0)
        found, whence = asked(dataset.with_queries(queries)), "searches of people in the newer data"
    else:
        found = asked(dataset)
    if len(found) < FEWEST:
        whence = "titles of items, which are to be found by them"
        titles = dataset.items["title"].to_list()
        named = np.array([item for item, title in enumerate(titles) if title and title.strip()], np.int64)
        some = rng.permutation(named)[:most]
        targets = Histories.from_lists([[item] for item in some.tolist()])
        found = Searches(texts=[titles[item] for item in some], targets=targets)
    empty, askers = Histories.empty(len(found)), np.arange(len(found))
    return Questions(texts=found.texts, histories=empty, targets=found.targets, askers=askers, whence=whence)


def _histories(pipeline: Pipeline, newer: Dataset | None, most: int, rng: np.random.Generator) -> Questions:  # noqa: ARG001  as the other maker
    dataset = pipeline.dataset
    if newer is not None:
        return _later(dataset, newer)
    log = dataset.log
    before, targets = log.where(log.ages > 0), log.where((log.ages == 0) & (log.values > 0))
    rows = np.flatnonzero((targets.lengths > 0) & (before.likes().lengths > 0))
    whence = "each user's newest like in the log that the pipeline was fitted on"
    return Questions(histories=before.take(rows), targets=targets.take(rows), askers=rows, whence=whence)


def _later(dataset: Dataset, newer: Dataset) -> Questions:
    """Return the likes behind the last event of a dataset, each with all that its user did before it."""
    last = dataset.log.timestamps.max(initial=0)
    share = float((newer.log.timestamps > last).mean())
    if not 0 < share < 1:
        raise DataError(
            "the data hold no event behind the last one that the artifact was fitted on, or none before it; give all "
            "events up to now, or leave --data out."
        )
    _, cases = split(newer, Split(test=share))
    codes = dataset.item_ids.encode_series(newer.items["item"])
    histories, targets = (_recoded(part, codes) for part in (cases.histories, cases.targets))
    targets = targets.where(targets.timestamps > last)
    rows = np.flatnonzero((targets.lengths > 0) & (histories.likes().lengths > 0))
    whence = "likes behind the last event that the pipeline was fitted on"
    return Questions(
        histories=histories.take(rows), targets=targets.take(rows), askers=cases.users[rows], whence=whence
    )


def _recoded(log: Histories, codes: Codes) -> Histories:
    """Return histories in the item codes of another dataset, without the items that this one does not know."""
    return replace(log, items=codes[log.items]).where(codes[log.items] >= 0)
