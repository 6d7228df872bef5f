import numpy as np
import pytest

from twofold.core import Histories
from twofold.core.query import Batch
from twofold.models import Transitions, TransitionsConfig


def test_counts_by_hand(make_dataset) -> None:
    dataset = make_dataset([[0, 1, 2], [0, 2]], 3)
    model = Transitions(TransitionsConfig(window=2, decay=0.5, damping=0.0)).fit(dataset)
    # After 0: 1 at distance 1; 2 at distance 2 once and at distance 1 once. After 1: 2. After 2: nothing.
    expected = [[0, 1 / 2.5, 1.5 / 2.5], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(model.weights.toarray(), expected, rtol=1e-6)


def test_direction_matters(make_dataset) -> None:
    model = Transitions().fit(make_dataset([[0, 1]] * 3, 2))
    assert model.weights[0, 1] > 0
    assert model.weights[1, 0] == 0


def test_no_step_leads_from_one_user_to_the_next(make_dataset) -> None:
    model = Transitions().fit(make_dataset([[0], [1], [2, 3]], 4))
    assert model.weights.nnz == 1


def test_damping_lowers_the_popular(make_dataset) -> None:
    lists = [[0, 1], [0, 2], [1], [1], [1]]
    plain = Transitions(TransitionsConfig(damping=0.0)).fit(make_dataset(lists, 3)).weights
    damped = Transitions(TransitionsConfig(damping=0.5)).fit(make_dataset(lists, 3)).weights
    assert plain[0, 1] == plain[0, 2]
    assert damped[0, 1] == pytest.approx(plain[0, 1] / 2)
    assert damped[0, 2] == pytest.approx(plain[0, 2])


def test_contributions_name_the_event(make_dataset) -> None:
    model = Transitions(TransitionsConfig(recency=0.5, damping=0.0)).fit(make_dataset([[0, 2], [1, 3]], 4))
    history = Histories.from_lists([[1, 0]])
    found = model.contributions(Batch.of_histories(history), "history", np.array([3, 2], np.int32))
    np.testing.assert_allclose(found, [[0.5, 0.0], [0.0, 1.0]])
