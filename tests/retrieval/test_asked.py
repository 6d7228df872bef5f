from pathlib import Path

import polars as pl
import pytest

from twofold.core import Batch, Dataset, Histories, IdMap
from twofold.core.config import build
from twofold.core.errors import ConfigError
from twofold.retrieval import Lexical, LexicalConfig
from twofold.retrieval.asked import Asked, AskedConfig


@pytest.fixture
def dataset() -> Dataset:
    items = pl.DataFrame(
        {"item": ["a", "b", "c"], "title": ["First", "Second", "Third"], "text": ["x", "y", "z"]},
    ).with_columns(categories=pl.Series([[], [], []], dtype=pl.List(pl.String)))
    queries = pl.DataFrame(
        {
            "text": ["old car", "new car", "old car", "bike", "boat", "best car"],
            "item": ["b", "b", "b", "a", "a", "b"],
            "grade": [1.0, 1.0, 1.0, 1.0, 0.0, 2.0],
            "timestamp": [1, 2, None, 5, 6, None],
        }
    )
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series("user", [], dtype=pl.String)),
        items=items,
        users=pl.DataFrame({"user": []}, schema={"user": pl.String}),
        log=Histories.empty(0),
    ).with_queries(queries)


def test_right_answers_know_what_was_asked_the_best_and_newest_first(dataset: Dataset) -> None:
    assert Asked().fit(dataset).expansions.to_list() == ["bike", "best car\nnew car\nold car", None]
    assert Asked(AskedConfig(most=2)).fit(dataset).expansions[1] == "best car\nnew car"


def test_nothing_was_asked(dataset: Dataset) -> None:
    assert Asked().fit(dataset.with_queries(dataset.queries[:0])).expansions.to_list() == [None] * 3


def test_an_item_is_found_by_what_was_asked_for_it(dataset: Dataset) -> None:
    stage = Lexical(LexicalConfig(expansion="asked"))
    stage.linked["expansion"] = Asked().fit(dataset)
    items, _ = stage.fit(dataset).score(Batch.of_texts(["old bikes"]), "text").top(3)
    assert items.tolist() == [[0, 1]]


def test_it_stays_when_an_item_changes_and_is_saved(dataset: Dataset, tmp_path: Path) -> None:
    stage = Asked().fit(dataset)
    more, changed = dataset.with_items(pl.DataFrame({"item": ["d", "b"], "title": ["Fourth", "2nd"]}))
    stage.update(more, changed)
    assert stage.expansions.to_list() == ["bike", "best car\nnew car\nold car", None, None]
    stage.save(tmp_path)
    restored = Asked()
    restored.restore(tmp_path, more)
    assert restored.expansions.to_list() == stage.expansions.to_list()


def test_no_search_is_too_few() -> None:
    with pytest.raises(ConfigError):
        build(AskedConfig, {"most": 0}, "expand.asked")
