import numpy as np
import pytest

from twofold.core import Batch, Dataset, Histories
from twofold.core.scores import Floats
from twofold.models.vectors import VectorRecommender


class Given(VectorRecommender):
    """A recommender whose state is the vector of the newest event."""

    def fit(self, dataset: Dataset, *, rng=None) -> "Given":
        touched, _, _ = self._compact(dataset)
        self._adopt(touched, np.eye(4, dtype=np.float32)[touched], np.arange(4, dtype=np.float32)[touched], None)
        return self

    def states(self, histories: Histories) -> Floats:
        return self.table[histories.items[histories.indptr[1:] - 1]]


@pytest.fixture
def given(make_dataset) -> Given:
    return Given().fit(make_dataset([[0, 1, 3]], 4))


def test_scores_are_logarithms_of_lifts(given: Given) -> None:
    found = given.score_events(Histories.from_lists([[0], [1, 3]])).values
    lifts = np.exp([[1, 1, 3], [0, 1, 4]])
    np.testing.assert_allclose(np.exp(found[:, [0, 1, 3]]), lifts / lifts.mean(axis=1, keepdims=True), rtol=1e-5)
    assert np.isnan(found[:, 2]).all()


def test_events_of_unknown_items_are_passed_over(given: Given) -> None:
    found = given.score_events(Histories.from_lists([[1, 2], [2], [1]])).values
    np.testing.assert_array_equal(found[0], found[2])
    assert np.isnan(found[1]).all()


def test_an_event_is_worth_what_the_score_loses_without_it(given: Given) -> None:
    # The state is that of the newest event: without it, the one before counts; without the only one, nothing is said.
    items = np.array([0, 3], np.int32)
    batch = Batch.of_histories(Histories.from_lists([[0, 1]]))
    scores = given.score_events(Histories.from_lists([[0, 1], [0]])).values[:, items]
    np.testing.assert_allclose(given.contributions(batch, "history", items), [[0, 0], scores[0] - scores[1]], atol=1e-6)
    alone = Batch.of_histories(Histories.from_lists([[0]]))
    np.testing.assert_allclose(given.contributions(alone, "history", items), scores[1:])
