"""Tune: choose the weights of a fusion on held-out data."""

import copy
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from twofold.core.config import build
from twofold.core.dataset import Dataset
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch, Evidence
from twofold.core.recipe import Recipe, Weights
from twofold.core.stage import Encoder, Expander, Progress, Stage
from twofold.data import Cases, Split, split
from twofold.flows.climbing import Ballot, climb
from twofold.flows.searches import Searches, asked, made_up

__all__ = ["Tune", "catalogue_stages", "split_of", "tune"]

CHUNK = 256
FEWEST = 20
"""From so many searches on, what people asked says more than what is made up."""
HELD_OUT = 5
"""One of so many searches is put aside where a stage learns from the others."""

Shelf = MutableMapping[str, Stage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """Options of tuning."""

    metric: Literal["ndcg@10", "hr@10", "recall@10", "mrr@10"] = "ndcg@10"
    """What is made as large as possible on the validation part."""
    step: float = 0.1
    """Each weight is tried at multiples of it, from 0 to 1."""
    rounds: int = 2
    """How often all weights are gone through."""
    cases: int = 2_000
    """At most so many validation cases, and so many searches, are looked at."""
    made_up: int = 300
    """So many searches are made up where people's own are too few; 0 for none."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.step <= 0.5 or self.rounds < 1 or self.cases < 1 or self.made_up < 0:
            raise ValueError("tune wants step from 0.01 to 0.5, rounds >= 1, cases >= 1 and made_up >= 0.")


def tune(
    dataset: Dataset,
    recipe: Recipe,
    *,
    rng: int = 0,
    progress: Progress | None = None,
    shelf: Shelf | None = None,
    older: Shelf | None = None,
) -> Recipe:
    """Return the recipe with the weights of `evidence.history` and `evidence.text` that do best on held-out data.

    For histories, the dataset, which must hold no test data, is split once more in the way of `split_of`; the
    retrievers are fitted on its older part. For texts, the searches of `Dataset.queries` are asked; where a stage
    learns from these, it is fitted without a fifth of them, and that fifth is asked. Where there are hardly any,
    searches are made up from titles: see `made_up`. Then one weight after the other is set to the value at which
    the fusion's ranking is best, the others keeping their proportions. Without a case to look at, weights stay.

    Args:
        dataset: what to learn from.
        recipe: what to tune; its `tune` table says how.
        rng: the seed of everything random.
        progress: told what is being done.
        shelf: stages fitted on the same dataset with the same seed; see `Pipeline.fit`.
        older: stages fitted with the same seed on the dataset's older part, as `split_of` splits it.
    """
    options = build(Tune, recipe.tune, "tune")
    if len(recipe.evidence.history) > 1:
        shelf = {} if shelf is None else shelf
        older = catalogue_stages(shelf) | dict(older or {})
        ballot = _history_ballot(dataset, recipe, options, rng=rng, progress=progress, older=older)
        shelf.update(catalogue_stages(older))
        recipe = _tuned(recipe, "history", ballot, options)
    if len(recipe.evidence.text) > 1:
        ballot = _text_ballot(dataset, recipe, options, rng=rng, progress=progress, shelf=shelf)
        recipe = _tuned(recipe, "text", ballot, options)
    return recipe


def split_of(recipe: Recipe, dataset: Dataset) -> Split:
    """Return the options by which a recipe splits a dataset.

    A log whose events are all at one time, or bear none, cannot be split by time; then the last like of
    each user is held out.
    """
    options = build(Split, recipe.split, "split")
    times = dataset.log.timestamps
    timeless = not len(times) or times.min() == times.max()
    return replace(options, kind="leave-one-out") if options.kind == "global-time" and timeless else options


def catalogue_stages(shelf: Shelf) -> dict[str, Stage]:
    """Return the stages on a shelf that learned from the catalogue alone, so that they serve any part of its log."""
    return {key: stage for key, stage in shelf.items() if not stage.learns_log()}


def _tuned(recipe: Recipe, evidence: Evidence, ballot: Ballot | None, options: Tune) -> Recipe:
    """Return the recipe with the best weights for one kind of evidence."""
    if ballot is None:
        return recipe
    start = recipe.evidence.of(evidence)
    found = climb(ballot, list(start.values()), metric=options.metric, step=options.step, rounds=options.rounds)
    chosen = {name: round(float(weight), 6) for name, weight in zip(start, found, strict=True)}
    return replace(recipe, evidence=replace(recipe.evidence, **{evidence: chosen}))


def _only(recipe: Recipe, evidence: Evidence) -> Recipe:
    """Return a recipe that answers one kind of evidence, all of its retrievers asked."""
    asked_all = Weights(**{evidence: dict.fromkeys(recipe.evidence.of(evidence), 1.0)})
    return replace(recipe, rank={}, evidence=asked_all).needed()


def _history_ballot(
    dataset: Dataset, recipe: Recipe, options: Tune, *, rng: int, progress: Progress | None, older: Shelf
) -> Ballot | None:
    train, cases = split(dataset, split_of(recipe, dataset))
    # Only where a history holds a like is there something to fuse.
    cases = cases.take(np.flatnonzero(cases.histories.likes().lengths > 0)).sample(options.cases, rng)
    if not len(cases):
        return None
    pipeline = Pipeline(_only(recipe, "history")).fit(train, rng=rng, progress=progress, shelf=older)

    def batch(part: Cases) -> Batch:
        return Batch.of_histories(part.histories, part.allowed(len(train.items)))

    batches = (batch(part) for _, part in cases.parts(CHUNK))
    return Ballot.of(pipeline, batches, "history", cases.targets, cases.users)


def _text_ballot(
    dataset: Dataset, recipe: Recipe, options: Tune, *, rng: int, progress: Progress | None, shelf: Shelf | None
) -> Ballot | None:
    pipeline, draw = Pipeline(_only(recipe, "text")), np.random.default_rng(rng)
    searches = asked(dataset)
    if len(searches) < FEWEST:
        return _made_up_ballot(dataset, pipeline, options, rng=rng, progress=progress, shelf=shelf)
    if any(stage.learns_searches() for stage in pipeline.stages.values()):
        aside = draw.permutation(len(searches))[: len(searches) // HELD_OUT]
        searches = searches.take(np.sort(aside))
        dataset = dataset.with_queries(dataset.queries.filter(~dataset.queries["text"].is_in(searches.texts)))
        shelf = None
    pipeline.fit(dataset, rng=rng, progress=progress, shelf=shelf)
    return _ballot_of_searches(pipeline, searches.sample(options.cases, draw))


def _made_up_ballot(
    dataset: Dataset, pipeline: Pipeline, options: Tune, *, rng: int, progress: Progress | None, shelf: Shelf | None
) -> Ballot | None:
    """Ask made-up searches of the catalogue without the titles that they are; only these items are encoded anew."""
    hidden, searches, codes = made_up(dataset, options.made_up, np.random.default_rng(rng))
    if len(searches) < FEWEST:
        return None
    pipeline.fit(dataset, rng=rng, progress=progress, shelf=shelf)
    copies: dict[Stage, Stage] = {}
    for stage in pipeline.stages.values():  # what is needed comes first
        if isinstance(stage, Encoder | Expander):
            copies[stage] = copy.copy(stage)
            copies[stage].linked = {field: copies.get(near, near) for field, near in stage.linked.items()}
            copies[stage].update(hidden, codes)
    changed = {pipeline.keys[name]: copies[stage] for name, stage in pipeline.stages.items() if stage in copies}
    return _ballot_of_searches(Pipeline(pipeline.recipe).fit(hidden, rng=rng, shelf=changed), searches)


def _ballot_of_searches(pipeline: Pipeline, searches: Searches) -> Ballot:
    batches = (Batch.of_texts(searches.texts[at : at + CHUNK]) for at in range(0, len(searches), CHUNK))
    return Ballot.of(pipeline, batches, "text", searches.targets, np.arange(len(searches)))
