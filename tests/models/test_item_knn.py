import numpy as np
import pytest

from twofold.core import Dataset, Histories
from twofold.models import ItemKNN, ItemKNNConfig


def test_cosine_by_hand(make_dataset) -> None:
    # Item 0: users 0, 1, 2; item 1: users 0, 1; item 2: user 3. Two users share items 0 and 1.
    dataset = make_dataset([[0, 1], [0, 1], [0], [2]], 3)
    model = ItemKNN(ItemKNNConfig(shrink=0)).fit(dataset)
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = 2 / np.sqrt(3 * 2)
    np.testing.assert_allclose(model.weights.toarray(), expected, rtol=1e-6)


def test_shrink_damps_what_few_share(make_dataset) -> None:
    dataset = make_dataset([[0, 1], [0, 1], [0], [2]], 3)
    model = ItemKNN(ItemKNNConfig(shrink=6)).fit(dataset)
    assert model.weights[0, 1] == pytest.approx(2 / np.sqrt(6) * 2 / 8)


def test_pearson_is_the_correlation_of_those_who_know_both(make_dataset) -> None:
    lists = [[0, 1], [0, 1], [0, 1], [0, 1], [0]]
    values = [1.0, 0.8, 0.5, 0.5, -0.5, 0.1, -1.0, -0.9, 1.0]
    model = ItemKNN(ItemKNNConfig(similarity="pearson", shrink=0)).fit(make_dataset(lists, 2, values))
    expected = np.corrcoef([1.0, 0.5, -0.5, -1.0], [0.8, 0.5, 0.1, -0.9])[0, 1]
    assert model.weights[0, 1] == pytest.approx(expected, abs=1e-5)
    assert model.weights[1, 0] == pytest.approx(expected, abs=1e-5)


def test_pearson_counts_a_neutral_opinion(make_dataset) -> None:
    lists = [[0, 1], [0, 1], [0, 1]]
    model = ItemKNN(ItemKNNConfig(similarity="pearson", shrink=0)).fit(
        make_dataset(lists, 2, [1.0, 1.0, 0.0, 0.5, -1.0, 0.0])
    )
    assert model.weights[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_pearson_takes_the_newest_opinion(make_dataset) -> None:
    lists = [[0, 1, 0], [0, 1], [0, 1]]
    values = [-1.0, 1.0, 1.0, 0.0, 0.5, -1.0, 0.0]
    model = ItemKNN(ItemKNNConfig(similarity="pearson", shrink=0)).fit(make_dataset(lists, 2, values))
    assert model.weights[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_only_the_nearest_are_kept(random_dataset: Dataset) -> None:
    full = ItemKNN(ItemKNNConfig(neighbours=60, shrink=0)).fit(random_dataset).weights.toarray()
    few = ItemKNN(ItemKNNConfig(neighbours=4, shrink=0)).fit(random_dataset).weights.toarray()
    for row in range(60):
        kept = np.flatnonzero(few[row])
        assert len(kept) <= 4
        assert few[row, kept].min(initial=2) >= np.delete(full[row], kept).max(initial=0)


def test_scores_sum_over_the_history(make_dataset) -> None:
    dataset = make_dataset([[0, 1], [0, 1], [0, 2], [1, 2]], 3)
    model = ItemKNN(ItemKNNConfig(shrink=0, recency=0.5)).fit(dataset)
    weights = model.weights.toarray()
    scores = model.score_histories(Histories.from_lists([[0, 1]]))
    np.testing.assert_allclose(scores[0], 0.5 * weights[0] + weights[1], rtol=1e-6)
