import numpy as np
import polars as pl
import pytest

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import IdMap
from twofold.evaluate.lists import (
    beyond,
    category_matrix,
    gini,
    intra_list_diversity,
    popularity_percentiles,
    slices,
)

CATEGORIES = [["a", "b"], ["b"], ["c"], None, ["a", "b"]]


@pytest.fixture
def dataset():
    """Five items with 4, 2, 1, 0, 1 likes by three users; a dislike of item 3 does not count."""
    log = Histories.from_events(
        np.array([0, 0, 0, 0, 1, 1, 1, 2, 2]),
        np.array([0, 1, 0, 3, 0, 1, 2, 0, 4]),
        np.array([1, 1, 1, -1, 1, 1, 1, 1, 1.0]),
        np.arange(9),
        size=3,
    )
    return Dataset(
        item_ids=IdMap(pl.Series(range(5))),
        user_ids=IdMap(pl.Series(range(3))),
        items=pl.DataFrame({"item": range(5), "categories": CATEGORIES}),
        users=pl.DataFrame({"user": range(3)}),
        log=log,
    )


def test_beyond_by_hand(dataset):
    items = np.array([[0, 1, 2], [0, 3, -1], [-1, -1, -1]], np.int32)
    histories = Histories.from_lists([[1], [], [0]])
    found = beyond(items, dataset, histories, ks=(2,))
    percentiles = [0.9, 0.7, 0.4, 0.1, 0.4]
    first, second = (percentiles[0] + percentiles[1]) / 2, (percentiles[0] + percentiles[3]) / 2
    assert found["coverage@2"] == 3 / 5
    assert found["gini@2"] == pytest.approx(gini(np.array([2, 1, 0, 1, 0])))
    assert found["popularity@2"] == pytest.approx((first + second) / 2)
    # Only the first case has both a list and likes.
    assert found["popularity_lift@2"] == pytest.approx(first / percentiles[1] - 1)
    assert found["novelty@2"] == pytest.approx(((1 + 2) / 2 + (1 + 3) / 2) / 2)
    assert found["diversity@2"] == pytest.approx(1 - 1 / 2)
    assert found["cold_share@2"] == pytest.approx((0 + 1 / 2) / 2)


def test_beyond_of_the_same_user_counts_once(dataset):
    items = np.array([[0], [0], [3]], np.int32)
    found = beyond(items, dataset, Histories.empty(3), ks=(1,), clusters=np.array([4, 4, 9]))
    assert found["cold_share@1"] == 1 / 2
    assert found["popularity@1"] == pytest.approx((0.9 + 0.1) / 2)


def test_what_cannot_be_known_is_left_out(dataset):
    nothing = beyond(np.full((2, 3), -1, np.int32), dataset, Histories.empty(2))
    assert nothing == {"coverage@10": 0.0}


def test_gini_by_hand():
    assert gini(np.array([1, 3])) == pytest.approx(0.25)
    assert gini(np.array([1, 2, 3])) == pytest.approx(2 / 9)
    assert np.isnan(gini(np.zeros(3, int)))


def test_percentiles_put_ties_in_the_middle_and_average_to_a_half():
    percentiles = popularity_percentiles(np.array([7, 7, 7, 1]))
    assert percentiles.tolist() == [0.625, 0.625, 0.625, 0.125]
    assert percentiles.mean() == 0.5


def test_category_matrix_ignores_repeats_nulls_and_order():
    matrix = category_matrix(pl.Series([["b", "a", "b"], None, [], ["b", None]], dtype=pl.List(pl.String)))
    assert matrix.toarray().tolist() == [[1, 1], [0, 0], [0, 0], [0, 1]]
    assert category_matrix(pl.Series([None, None], dtype=pl.List(pl.String))).shape == (2, 0)


def test_diversity_by_hand():
    matrix = category_matrix(pl.Series(CATEGORIES))
    lists = np.array([[0, 1, 2], [0, 4, 3], [0, 3, -1], [-1, -1, -1]], np.int32)
    jaccard = intra_list_diversity(lists, matrix)
    # Pairs 0-1: 1/2, 0-2: 0, 1-2: 0; then 0-4 alike, and item 3 has no category; then no pair.
    np.testing.assert_allclose(jaccard, [1 - 1 / 6, 0, np.nan, np.nan], atol=1e-6)
    cosine = intra_list_diversity(lists, matrix, similarity="cosine")
    np.testing.assert_allclose(cosine, [1 - (1 / np.sqrt(2)) / 3, 0, np.nan, np.nan], atol=1e-6)


def test_diversity_in_parts_equals_diversity_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    matrix = category_matrix(pl.Series([[f"c{c}" for c in rng.choice(9, 3)] for _ in range(40)]))
    lists = np.stack([rng.permutation(40)[:6] for _ in range(50)]).astype(np.int32)
    whole = intra_list_diversity(lists, matrix)
    monkeypatch.setattr("twofold.evaluate.lists.CELLS", 500)
    np.testing.assert_allclose(intra_list_diversity(lists, matrix), whole)


def test_slices_by_hand():
    items = np.array([[0, 1], [0, 1], [0, 1], [2, 3]], np.int32)
    scores = np.array([[2, 1]] * 4, np.float32)
    targets = Histories.from_lists([[0], [1], [4], [3, 4]])
    histories = Histories.from_lists([[], [2], [2, 3, 1], []])
    found = slices(items, scores, targets, histories, np.array([5, 5, 5, 0, 1]), ks=(2,), short=2)
    assert {name: part["cases"] for name, part in found.items()} == {
        "new users": 2,
        "short histories": 1,
        "long histories": 1,
        "new items": 1,
    }
    assert found["new users"]["mrr@2"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["short histories"]["mrr@2"] == 1 / 2
    assert found["long histories"]["hr@2"] == 0
    # Of the last case only item 3 is new, so that alone is sought.
    assert found["new items"]["recall@2"] == 1


def test_slices_leave_out_what_nobody_is_in():
    found = slices(
        np.array([[0]], np.int32),
        np.array([[1]], np.float32),
        Histories.from_lists([[0]]),
        Histories.from_lists([[1]]),
        np.array([1, 1]),
        ks=(1,),
    )
    assert list(found) == ["short histories"]
