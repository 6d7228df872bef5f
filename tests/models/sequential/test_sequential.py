from pathlib import Path

import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Histories
from twofold.core.config import build
from twofold.core.errors import ConfigError, DataError
from twofold.models.sequential import Features, Sequential, SequentialConfig, SequentialTraining

TINY = {"width": 8, "length": 12, "tokens": 200, "holdout": 0}
CYCLE = 6


def config(**more) -> SequentialConfig:
    training = SequentialTraining(**{"epochs": 5, "minutes": None, "threads": 1, **more.pop("training", {})})
    return SequentialConfig(**{**TINY, **more}, training=training)


@pytest.fixture(scope="module")
def circling(make_dataset) -> Dataset:
    """Every user goes round in a circle of six items, from somewhere; a seventh item nobody touched."""
    return make_dataset([[(start + step) % CYCLE for step in range(9)] for start in range(CYCLE)] * 10, CYCLE + 1)


def next_of(model: Sequential, *history: int) -> int:
    return int(np.nanargmax(model.score_events(Histories.from_lists([history])).values[0]))


@pytest.mark.parametrize("objective", ["causal", "masked"])
@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_it_learns_what_comes_next(circling: Dataset, objective, loss) -> None:
    training = {"epochs": 90 if objective == "masked" else 30, "lr": 0.01}
    options = config(
        objective=objective, loss=loss, negatives=20, dropout=0.0, embedding_dropout=0.0, training=training
    )
    model = Sequential(options).fit(circling, rng=1)
    assert [next_of(model, (item - 1) % CYCLE, item) for item in range(CYCLE)] == [1, 2, 3, 4, 5, 0]


def test_an_item_that_nobody_touched_gets_no_opinion(circling: Dataset) -> None:
    model = Sequential(config()).fit(circling, rng=1)
    scores = model.score_events(Histories.from_lists([[0, 1], [6], []])).values
    assert np.isnan(scores[0]).tolist() == [False] * 6 + [True]
    assert np.isnan(scores[1:]).all()


def test_more_than_the_window_is_forgotten(circling: Dataset) -> None:
    model = Sequential(config(length=4)).fit(circling, rng=1)
    long, short = (model.score_events(Histories.from_lists([row])).values for row in ([5, 5, 0, 1, 2, 3], [0, 1, 2, 3]))
    np.testing.assert_allclose(long, short, rtol=1e-5)


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_batch_of_different_lengths_scores_as_each_alone(circling: Dataset, objective) -> None:
    model = Sequential(config(objective=objective)).fit(circling, rng=1)
    lists = [[0], [3, 4, 5, 0, 1, 2], [2, 2]]
    together = model.score_histories(Histories.from_lists(lists))
    alone = [model.score_histories(Histories.from_lists([row]))[0] for row in lists]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_dislikes_are_read_and_never_predicted(make_dataset) -> None:
    # Item 2 always follows item 1 and is always disliked; item 3 follows it and is liked.
    lists, values = [[0, 1, 2, 3]] * 40, [1.0, 1.0, -1.0, 1.0] * 40
    options = config(dropout=0.0, embedding_dropout=0.0, training={"epochs": 30, "lr": 0.01})
    model = Sequential(options).fit(make_dataset(lists, 4, values), rng=1)
    assert next_of(model, 0, 1) != 2
    liked = Histories.from_lists([[0, 1, 2]])
    disliked = Histories(
        indptr=liked.indptr,
        items=liked.items,
        values=np.array([1, 1, -1], np.float32),
        timestamps=liked.timestamps,
    )
    found = [model.score_events(history).values for history in (liked, disliked)]
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert model.score_events(disliked).values[0].argmax() == 3


def test_times_are_read_where_there_are_any(circling: Dataset) -> None:
    model = Sequential(config()).fit(circling, rng=1)
    slow = Histories.from_lists([[0, 1, 2]])
    known = Histories(indptr=slow.indptr, items=slow.items, values=slow.values, timestamps=np.array([1, 2, 9]) * 10**9)
    assert (model.score_events(slow).values[0, :6] != model.score_events(known).values[0, :6]).all()
    timeless = Sequential(config(features=Features(gaps=False))).fit(circling, rng=1)
    found = [timeless.score_events(history).values for history in (slow, known)]
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_scores_are_the_same_after_saving(circling: Dataset, objective, tmp_path: Path) -> None:
    model = Sequential(config(objective=objective, members=2, training={"epochs": 1})).fit(circling, rng=1)
    model.save(tmp_path)
    read = Sequential(model.config)
    read.restore(tmp_path, circling)
    asked = circling.log.take(np.arange(5))
    np.testing.assert_array_equal(read.score_events(asked).values, model.score_events(asked).values)


def test_members_are_averaged(circling: Dataset) -> None:
    model = Sequential(config(members=2, training={"epochs": 1})).fit(circling, rng=1)
    asked = Histories.from_lists([[0, 1]])
    states, width = model.states(asked)[0], model.config.width
    assert model.ids.shape == (7, 2 * width)
    assert not np.array_equal(model.ids[:6, :width], model.ids[:6, width:])
    expected = model.ids[:6, :width] @ states[:width] + model.ids[:6, width:] @ states[width:] + model.bias[:6]
    expected -= np.log(np.exp(expected).mean())
    np.testing.assert_allclose(model.score_histories(asked)[0, :6], expected, atol=1e-5)


@pytest.fixture
def by_letter(lettered: Dataset, letters) -> Sequential:
    model = Sequential(config(encoder="letters", content_dropout=0.5, dropout=0.0, training={"epochs": 20, "lr": 0.01}))
    model.linked["encoder"] = letters.fit(lettered)
    return model.fit(lettered, rng=1)


def test_a_new_item_is_found_through_its_content(by_letter: Sequential) -> None:
    after_a, after_b = by_letter.score_events(Histories.from_lists([[0], [1]])).values
    assert after_a[12] > after_b[12]
    assert after_a[12] > max(after_a[[0, 2, 3, 5, 6, 8]])
    assert np.isnan(after_a[13])  # its content says nothing


def test_items_are_added_and_described_anew(by_letter: Sequential, lettered: Dataset) -> None:
    before = by_letter.score_events(Histories.from_lists([[0]])).values[0]
    given = pl.DataFrame({"item": ["new", "i0"], "title": ["b!", "c0"]})
    dataset, changed = lettered.with_items(given)
    by_letter.linked["encoder"].update(dataset, changed)
    by_letter.update(dataset, changed)
    after = by_letter.score_events(Histories.from_lists([[3], [14]])).values
    assert after.shape == (2, 15)
    assert after[0, 14] == pytest.approx(after[0, 12], abs=1e-5)
    assert not np.isnan(after[1, 0])
    np.testing.assert_allclose(
        by_letter.table[0], by_letter.ids[0] + (np.eye(3)[2] - by_letter.centre) @ by_letter.projection, rtol=1e-5
    )
    assert len(before) == 14


def test_without_content_a_new_item_gets_no_opinion(circling: Dataset) -> None:
    model = Sequential(config(training={"epochs": 1})).fit(circling, rng=1)
    dataset, changed = circling.with_items(pl.DataFrame({"item": ["new"], "title": ["New"]}))
    model.update(dataset, changed)
    scores = model.score_events(Histories.from_lists([[0], [7]])).values
    assert np.isnan(scores[0]).tolist() == [False] * 6 + [True] * 2
    assert np.isnan(scores[1]).all()


def test_one_seed_one_model(circling: Dataset) -> None:
    one, same, other = (Sequential(config(training={"epochs": 2})).fit(circling, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.ids, same.ids)
    assert not np.array_equal(one.ids, other.ids)


def test_training_ends_early_on_held_out_likes(circling: Dataset) -> None:
    training = {"epochs": 200, "patience": 2, "lr": 0.01}
    (report,) = (
        Sequential(config(holdout=6, dropout=0.0, embedding_dropout=0.0, training=training))
        .fit(circling, rng=1)
        .reports
    )
    assert report.stopped == "patience"
    assert report.quality == pytest.approx(1)


def test_a_finished_training_is_not_done_again(circling: Dataset, tmp_path: Path) -> None:
    options = config(checkpoint=str(tmp_path / "half"), training={"epochs": 2})
    first = Sequential(options).fit(circling, rng=1)
    again = Sequential(options).fit(circling, rng=1)
    np.testing.assert_array_equal(first.ids, again.ids)
    assert again.reports[0].steps == first.reports[0].steps
    other = Sequential(options).fit(circling.with_log(circling.log.take(np.arange(60)[::-1])), rng=1)
    assert not np.array_equal(first.ids, other.ids)
    assert len(list((tmp_path / "half").iterdir())) == 2


def test_nobody_with_two_events_is_said(make_dataset) -> None:
    with pytest.raises(DataError, match="more data"):
        Sequential(config()).fit(make_dataset([[0], [1]], 2), rng=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 10, "heads": 2}, "even"),
        ({"length": 1}, "length >= 2"),
        ({"dropout": 1.0}, "dropout"),
        ({"training": {"epochs": -1}}, "above 0"),
        ({"objective": "both"}, "'causal', 'masked'"),
    ],
)
def test_wrong_options_are_refused(options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        build(SequentialConfig, options, "sequential")
