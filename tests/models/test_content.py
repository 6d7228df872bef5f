from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from twofold.core import Batch, Histories
from twofold.core.errors import ConfigError
from twofold.models import EASE, Content, ContentConfig, EASEConfig


@pytest.fixture
def make_stage(letters):
    def make(dataset, **options):
        stage = Content(ContentConfig(encoder="letters", attributes=0.0, **options))
        stage.linked["encoder"] = letters.fit(dataset)
        return stage.fit(dataset)

    return make


def scored(stage, history):
    return stage.score_histories(Histories.from_lists([history]))[0]


def test_times_is_a_product_with_the_matrix_in_both_forms(random_dataset):
    matrix = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    codes = np.arange(60, dtype=np.int32)
    for form in ("primal", "dual"):
        ease = EASE(EASEConfig(reg=5.0, form=form)).fit(random_dataset)
        expected = ease.block(codes, codes).astype(np.float64) @ matrix
        np.testing.assert_allclose(ease.times(matrix), expected, atol=1e-4)


def test_scores_are_a_ridge_regression_of_ease_on_content(lettered, make_stage):
    stage = make_stage(lettered, reg=5.0, ridge=0.5)
    ease = EASE(EASEConfig(reg=5.0)).fit(lettered)
    codes = np.arange(14, dtype=np.int32)
    weights, features = ease.block(codes, codes).astype(np.float64), stage.features.astype(np.float64)
    known = features[:12]  # the last two items were never liked
    learned = np.linalg.solve(known.T @ known + 0.5 * np.eye(4), known.T @ weights[:12, :12].T)
    np.testing.assert_allclose(scored(stage, [2, 4]), features @ learned[:, [2, 4]].sum(axis=1), atol=1e-4)


def test_an_item_without_likes_stands_with_those_that_are_like_it(lettered, make_stage):
    found = scored(make_stage(lettered, reg=5.0, ridge=0.1), [0])
    assert lettered.titles(np.array([12, 13])) == ["b12", "x13"]
    assert found[12] == pytest.approx(found[1], abs=1e-5)
    assert found[12] > found[13]


def test_a_new_item_counts_in_a_history(lettered, make_stage):
    stage = make_stage(lettered, reg=5.0, ridge=0.1)
    like_b = np.mean([scored(stage, [code]) for code in (1, 4, 7, 10)], axis=0)
    assert np.corrcoef(scored(stage, [12]), like_b)[0, 1] > 0.95


def test_items_are_added_and_described_anew(lettered, make_stage):
    stage = make_stage(lettered, reg=5.0, ridge=0.1)
    before = scored(stage, [0])
    added = pl.DataFrame({"item": ["i13", "new"], "title": ["b13", "c14"]})
    dataset, changed = lettered.with_items(added)
    stage.linked["encoder"].update(dataset, changed)
    stage.update(dataset, changed)
    found = scored(stage, [0])
    assert found.shape == (15,)
    assert found[13] == pytest.approx(before[1], abs=1e-5)
    assert found[14] == pytest.approx(before[2], abs=1e-5)
    assert found[:13] == pytest.approx(before[:13], abs=1e-6)


def test_attributes_alone(lettered):
    wanted = [["x"] if title[0] == "b" else ["y"] for title in lettered.items["title"]]
    dataset = replace(lettered, items=lettered.items.with_columns(categories=pl.Series(wanted)))
    stage = Content(ContentConfig(reg=5.0, ridge=0.1)).fit(dataset)
    assert stage.features.shape == (14, 3)
    found = scored(stage, [0])
    assert found[12] > found[13]


def test_recent_likes_count_more(lettered, make_stage):
    stage = make_stage(lettered, recency=0.5)
    np.testing.assert_allclose(scored(stage, [0, 1]), 0.5 * scored(stage, [0]) + scored(stage, [1]), atol=1e-5)


def test_contributions_add_up_to_the_scores(lettered, make_stage):
    stage = make_stage(lettered, recency=0.5)
    batch = Batch.of_histories(Histories.from_lists([[0, 5, 7]]))
    items = np.array([3, 12], np.int32)
    amounts = stage.contributions(batch, "history", items)
    np.testing.assert_allclose(amounts.sum(axis=0), scored(stage, [0, 5, 7])[items], atol=1e-5)


def test_it_is_saved_and_restored(lettered, make_stage, tmp_path):
    stage = make_stage(lettered)
    stage.save(tmp_path)
    again = Content(stage.config)
    again.restore(tmp_path, lettered)
    np.testing.assert_array_equal(scored(again, [0, 4]), scored(stage, [0, 4]))


def test_too_little_memory_is_one_sentence(lettered):
    with pytest.raises(ConfigError, match="content stands on ease, which does not fit memory_gb"):
        Content(ContentConfig(memory_gb=1e-9)).fit(lettered)


def test_nothing_to_read_is_refused():
    with pytest.raises(ValueError, match="an encoder, or attributes"):
        ContentConfig(attributes=0.0)
