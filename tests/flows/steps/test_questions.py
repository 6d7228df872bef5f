"""Searches and histories with known answers."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.flows.steps.tiny import Tiny

from twofold.core import Dataset, Histories, Pipeline
from twofold.core.errors import DataError
from twofold.data import add_searches
from twofold.flows.steps import held_out


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_without_newer_data_the_last_likes_and_the_searches_of_the_fit_are_asked(tiny: Tiny) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    found = held_out(pipeline, 60, rng())
    assert {kind: len(questions) for kind, questions in found.items()} == {"text": 60, "history": 60}
    titles, log = pipeline.dataset.items["title"].to_list(), pipeline.dataset.log
    text = found["text"]
    assert text.texts is not None
    assert all(titles[item] == text.texts[row] for row, item in zip(text.targets.rows, text.targets.items, strict=True))
    newest = {tuple(log.row(user).items.tolist()) for user in range(len(log))}
    history = found["history"]
    for row in range(len(history)):
        before, target = history.histories.row(row).items.tolist(), history.targets.row(row).items.tolist()
        assert tuple(before + target) in newest
        assert target[0] not in before
    assert "fitted on" in history.whence


def test_newer_likes_are_asked_by_what_was_before_them(tiny: Tiny, dataset: Dataset) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    end = int(dataset.log.timestamps.max())
    # User u had items u and u + 1 before, then likes u + 2, dislikes u + 3, and comes back to u.
    lists = [[user % 50, user % 50 + 1, user % 50 + 2, user % 50 + 3, user % 50] for user in range(40)]
    log = Histories.from_lists([*lists, *([()] * (len(dataset.users) - 40))])
    times, values = np.tile([end - 2, end - 1, end + 1, end + 2, end + 3], 40), np.tile([1, 1, 1, -1, 1], 40)
    newer = dataset.with_log(replace(log, timestamps=times, values=values.astype(np.float32)))
    found = held_out(pipeline, 100, rng(), newer=newer)["history"]
    assert len(found) == 40
    firsts = found.histories.items.reshape(-1, 2)
    assert (found.targets.items == firsts[:, 0] + 2).all()
    assert (firsts[:, 1] == firsts[:, 0] + 1).all()
    with pytest.raises(DataError, match="no event behind the last one that the artifact was fitted on"):
        held_out(pipeline, 100, rng(), newer=dataset)


def test_searches_of_newer_data_come_before_those_of_the_fit(tiny: Tiny, dataset: Dataset) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    log = replace(dataset.log, timestamps=dataset.log.timestamps + 10**12)
    items = dataset.items["item"].to_list()
    asked = pl.DataFrame({"text": [f"search {place}" for place in range(30)], "item": items[:30]})
    newer = add_searches(dataset.with_log(log), asked)
    pipeline.recipe = replace(pipeline.recipe, evidence=replace(pipeline.recipe.evidence, history={}))
    found = held_out(pipeline, 100, rng(), newer=newer)
    assert list(found) == ["text"]
    assert sorted(found["text"].texts or []) == sorted(asked["text"])


def test_where_nobody_searched_titles_are_asked(tiny: Tiny) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    pipeline.dataset = pipeline.dataset.with_queries(pipeline.dataset.queries.head(3))
    found = held_out(pipeline, 50, rng())["text"]
    titles = pipeline.dataset.items["title"].to_list()
    assert [titles[item] for item in found.targets.items] == found.texts
    assert len(found) == 50
    assert "titles" in found.whence


def test_too_little_to_measure_by_is_told(tiny: Tiny) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    evidence = replace(pipeline.recipe.evidence, text={})
    pipeline.recipe = replace(pipeline.recipe, evidence=evidence)
    pipeline.dataset = pipeline.dataset.with_log(Histories.empty(len(pipeline.dataset.users)))
    with pytest.raises(DataError, match="needs 20 searches or histories with a known answer"):
        held_out(pipeline, 50, rng())
