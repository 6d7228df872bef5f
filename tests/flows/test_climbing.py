import numpy as np
import pytest

from twofold.core import Histories
from twofold.flows.climbing import Ballot, climb

VOTES = np.array([[[1.0, 0.0], [0.0, 1.0], [0.9, 0.9]], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]], np.float32)


def ballot(votes: np.ndarray, *targets: list[int]) -> Ballot:
    items = np.tile(np.arange(votes.shape[1], dtype=np.int32), (len(votes), 1))
    items[1, 2] = -1
    return Ballot(items=items, votes=votes, targets=Histories.from_lists(targets), clusters=np.arange(len(votes)))


def test_the_quality_of_weights_by_hand() -> None:
    asked = ballot(VOTES, [2], [1])
    # At even weights item 2 leads the first case; the second is a tie, which counts against the model.
    assert asked.quality(np.array([0.5, 0.5]), "mrr@10") == pytest.approx((1 + 1 / 2) / 2)
    assert asked.quality(np.array([0.0, 1.0]), "mrr@10") == pytest.approx((1 / 2 + 1) / 2)
    assert asked.quality(np.array([0.4, 0.6]), "mrr@10") == pytest.approx(1)


def test_the_climb_finds_weights_between_the_ends() -> None:
    weights = climb(ballot(VOTES, [2], [1]), [1.0, 0.0], metric="mrr@10", step=0.1, rounds=2)
    assert weights.sum() == pytest.approx(1)
    assert 0.5 < weights[1] < 0.91


def test_equal_quality_leaves_the_start() -> None:
    same = ballot(np.ones_like(VOTES), [2], [1])
    np.testing.assert_allclose(climb(same, [3.0, 1.0], metric="ndcg@10", step=0.25, rounds=1), [0.75, 0.25])
    np.testing.assert_allclose(climb(same, [0.0, 0.0], metric="ndcg@10", step=0.25, rounds=1), [0.5, 0.5])
