"""Demo: everything once, from data to a measured, saved and questioned pipeline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError, MissingExtraError
from twofold.core.pipeline import Pipeline
from twofold.core.query import Query
from twofold.core.recipe import Recipe
from twofold.core.slate import Slate
from twofold.core.stage import Progress, Stage
from twofold.data import split
from twofold.encoders.text.finetune import FineTune
from twofold.evaluate import Table, write_report
from twofold.flows.evaluate import evaluate
from twofold.flows.finetune import finetune_encoder
from twofold.flows.fit import default_recipe, fit, shipped_recipe
from twofold.flows.obtain import obtain
from twofold.flows.tune import split_of

__all__ = ["Demo", "run_demo"]

FINETUNE = FineTune(
    steps=30, minutes=0.75, batch_size=32, frozen_layers=3, max_tokens=48, fields=0.2, held_out_most=150
)
"""A taste of fine-tuning that a laptop has time for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What a demo leaves behind."""

    table: Table
    slates: Mapping[str, Slate]
    """What was asked, in words, and the answer."""
    artifact: Path
    report: Path


def run_demo(data: Path | None, folder: Path, *, say: Callable[[str], None], progress: Progress | None = None) -> Demo:
    """Get data, measure a recipe on held-out data, fit it on all, save it and ask it.

    Args:
        data: a MovieLens folder or a file of interactions; None gets MovieLens, or simulates.
        folder: where the artifact and the report go.
        say: told in single lines what happens.
        progress: told how far each step is.

    Raises:
        DataError: the data cannot be read.
        ArtifactError: the artifact or the report cannot be written.
    """
    dataset = obtain(data, say)
    say(f"{len(dataset.users):,} users, {len(dataset.items):,} items, {len(dataset.log.items):,} events after cleaning")
    shelf, older = dict[str, Stage](), dict[str, Stage]()
    try:
        recipe = _with_own_encoder(dataset, shipped_recipe("language"), folder / "encoder", say, progress)
        table = evaluate(dataset, recipe, progress=progress, shelf=shelf, older=older)
    except MissingExtraError as error:
        say(f"{error} Until then the demo goes on without a language model.")
        recipe = default_recipe()
        table = evaluate(dataset, recipe, progress=progress)
    pipeline = fit(dataset, recipe, progress=progress, shelf=shelf, older=older)
    pipeline.save(folder / "artifact", description={"quality": table.as_dict()})
    slates = ask(pipeline)
    report = folder / "report.html"
    write_report(
        report, table, title=f"Twofold: the {recipe.name} recipe, measured", slates=slates, cleaning=dataset.provenance
    )
    return Demo(table=table, slates=slates, artifact=folder / "artifact", report=report)


def _with_own_encoder(
    dataset: Dataset, recipe: Recipe, folder: Path, say: Callable[[str], None], progress: Progress | None
) -> Recipe:
    """Return a recipe whose language model was fine-tuned, for a few steps, on what people liked together.

    The model learns from the events that are older than those that weights are tuned on and all is measured on.
    """
    options, older = split_of(recipe, dataset), dataset
    try:
        for _ in range(2):
            older, _cases = split(older, options)
        report = finetune_encoder(older, folder, FINETUNE, model=str(recipe.encode["text"]["model"]), progress=progress)
    except DataError as error:
        say(f"The language model stays as it came: {error}")
        return recipe
    if report.evaluations:
        (_, first), best = report.evaluations[0], report.quality
        say(f"language model fine-tuned, steps: {report.steps}; held-out quality {first:.3f}, then {best:.3f}")
    return replace(recipe, encode={"text": recipe.encode["text"] | {"model": str(folder)}})


def ask(pipeline: Pipeline) -> dict[str, Slate]:
    """Ask one query of each kind, made from the dataset itself: its median user, its most liked item."""
    dataset = pipeline.dataset
    popular = int(dataset.item_counts.argmax())
    title = dataset.titles(np.array([popular], np.int32))[0]
    item = dataset.item_ids.decode([popular])[0]
    user = dataset.user_ids.decode([_median_user(dataset)])[0]
    word = max(title.split(), key=len)
    return {
        f"for user {user}": pipeline.run(Query(user=user, k=5)),
        f"search “{word}”": pipeline.run(Query(text=word, k=5)),
        f"similar to {title}": pipeline.run(Query(items=[item], k=5)),
        "trending": pipeline.run(Query(k=5)),
    }


def _median_user(dataset: Dataset) -> int:
    """Return the user whose history is of median length."""
    return int(np.argsort(dataset.log.lengths, kind="stable")[len(dataset.log) // 2])
