import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.core import Candidates, DenseScores, Histories, SparseScores
from twofold.core.scores import rank_rows

NAN, LOW = np.nan, -np.inf


def dense(*rows: list[float]) -> DenseScores:
    return DenseScores(np.array(rows, np.float32))


def sparse(*rows: dict[int, float]) -> SparseScores:
    """Make scores from rows of item to score."""
    return SparseScores(
        Histories(
            indptr=np.cumsum([0, *map(len, rows)]),
            items=np.array([item for row in rows for item in row], np.int32),
            values=np.array([score for row in rows for score in row.values()], np.float32),
            timestamps=np.zeros(sum(map(len, rows)), np.int64),
        )
    )


def test_the_best_come_first() -> None:
    items, scores = dense([0.1, 0.9, 0.5], [3.0, -1.0, 2.0]).top(2)
    assert items.tolist() == [[1, 2], [0, 2]]
    assert scores.tolist() == [[np.float32(0.9), 0.5], [3.0, 2.0]]
    assert (items.dtype, scores.dtype) == (np.int32, np.float32)


def test_at_the_limit_the_lower_code_wins_a_tie() -> None:
    assert dense([1.0, 2.0, 1.0, 1.0, 2.0, 1.0]).top(3)[0].tolist() == [[1, 4, 0]]
    assert dense([0.0] * 50).top(4)[0].tolist() == [[0, 1, 2, 3]]


def test_no_opinion_is_no_candidate() -> None:
    items, scores = dense([NAN, 0.0, NAN, -5.0], [NAN] * 4).top(3)
    assert items.tolist() == [[1, 3, -1], [-1, -1, -1]]
    assert scores.tolist() == [[0.0, -5.0, LOW], [LOW, LOW, LOW]]


def test_a_mask_hides_items_and_changes_no_scores() -> None:
    scores = dense([3.0, 2.0, 1.0], [1.0, 2.0, 3.0])
    allowed = np.array([[False, True, True], [False, False, False]])
    assert scores.top(2, allowed)[0].tolist() == [[1, 2], [-1, -1]]
    assert scores.values.tolist() == [[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]


def test_k_beyond_the_catalogue_gives_all() -> None:
    assert dense([1.0, 3.0, 2.0]).top(10)[0].tolist() == [[1, 2, 0]]
    assert dense([1.0, NAN, 2.0]).top(10)[0].tolist() == [[2, 0, -1]]


def test_nothing_to_rank() -> None:
    assert DenseScores(np.empty((2, 0), np.float32)).top(5)[0].shape == (2, 0)
    assert DenseScores(np.empty((0, 4), np.float32)).top(5)[0].shape == (0, 4)
    assert np.isnan(DenseScores(np.empty((1, 0), np.float32)).at(np.array([[-1, 0]], np.int32))).all()
    assert sparse({}, {}).top(5)[0].shape == (2, 0)


def test_scores_of_given_items() -> None:
    codes = np.array([[2, -1, 0], [1, 1, 2]], np.int32)
    wanted = [[2.0, NAN, 0.0], [NAN, NAN, 5.0]]
    assert np.array_equal(dense([0.0, 1.0, 2.0], [3.0, NAN, 5.0]).at(codes), wanted, equal_nan=True)
    assert np.array_equal(sparse({2: 2.0, 0: 0.0}, {2: 5.0, 0: 3.0}).at(codes), wanted, equal_nan=True)


def test_sparse_scores_rank_hits_alone() -> None:
    scores = sparse({7: 1.0, 3: 2.0, 5: 2.0}, {}, {9: -1.0})
    items, values = scores.top(2)
    assert items.tolist() == [[3, 5], [-1, -1], [9, -1]]
    assert values.tolist() == [[2.0, 2.0], [LOW, LOW], [-1.0, LOW]]
    allowed = np.ones((3, 10), bool)
    allowed[0, 3] = allowed[2, 9] = False
    assert scores.top(2, allowed)[0].tolist() == [[5, 7], [-1, -1], [-1, -1]]


ROWS = st.lists(st.lists(st.sampled_from([NAN, -1.0, 0.0, 0.5, 2.0]), min_size=6, max_size=6), min_size=1, max_size=4)


def rated(row: list[float]) -> list[tuple[int, float]]:
    """Return the items of a row with an opinion, and their scores."""
    return [(item, score) for item, score in enumerate(row) if not np.isnan(score)]


@given(ROWS, st.integers(1, 8), st.integers(0, 2**24 - 1))
def test_top_is_the_beginning_of_the_whole_order(rows: list[list[float]], k: int, bits: int) -> None:
    allowed = np.array([[bool(bits >> (6 * row + item) & 1) for item in range(6)] for row in range(len(rows))])
    items, scores = dense(*rows).top(k, allowed)
    hits = sparse(*(dict(rated(row)) for row in rows))
    found = hits.top(k, allowed)[0]
    for number, row in enumerate(rows):
        best = sorted((-score, item) for item, score in rated(row) if allowed[number, item])[:k]
        order = [item for _, item in best]
        assert items[number].tolist() == order + [-1] * (min(k, 6) - len(order))
        assert scores[number, : len(order)].tolist() == [-score for score, _ in best]
        assert [item for item in found[number].tolist() if item >= 0] == order


def test_rank_rows_puts_the_lower_code_first() -> None:
    items, scores = rank_rows(np.array([[9, 2, 4, 1]], np.int32), np.array([[1, 1, LOW, 5]], np.float32))
    assert items.tolist() == [[1, 2, 9, -1]]
    assert scores.tolist() == [[5.0, 1.0, 1.0, LOW]]


def ranking(items: list[list[int]], scores: list[list[float]], source: str) -> Candidates:
    values = np.array(scores, np.float32)
    return Candidates(items=np.array(items, np.int32), scores=values, sources={source: values * 10})


def test_then_appends_what_is_new_below() -> None:
    first = ranking([[3, 1, -1], [-1, -1, -1]], [[0.9, 0.5, LOW], [LOW, LOW, LOW]], "taste")
    more = ranking([[1, 7, 8], [4, 5, -1]], [[100.0, 50.0, 10.0], [9.0, 8.0, LOW]], "popular")
    both = first.then(more)
    assert both.items.tolist() == [[3, 1, 7, 8, -1, -1], [4, 5, -1, -1, -1, -1]]
    assert (np.diff(both.scores[0, :4]) < 0).all()
    assert both.scores[0, :2].tolist() == [np.float32(0.9), 0.5]
    assert np.isneginf(both.scores[0, 4:]).all()
    assert both.sources["taste"][0, :2].tolist() == [9.0, 5.0]
    assert np.isnan(both.sources["popular"][0, :2]).all()
    assert both.sources["popular"][0, 2:4].tolist() == [500.0, 100.0]
    assert np.isnan(both.sources["taste"][0, 2:4]).all()


def test_then_goes_below_negative_scores_too() -> None:
    first = ranking([[3, 1]], [[-4.0, -6.0]], "taste")
    both = first.then(ranking([[7]], [[100.0]], "popular"))
    assert both.items.tolist() == [[3, 1, 7]]
    assert both.scores[0, 2] < -6.0


def test_stack_pads_narrow_rankings() -> None:
    stacked = Candidates.stack(
        [ranking([[3]], [[1.0]], "a"), ranking([[4, 5], [6, -1]], [[2.0, 1.0], [3.0, LOW]], "b")]
    )
    assert stacked.items.tolist() == [[3, -1], [4, 5], [6, -1]]
    assert stacked.scores.tolist() == [[1.0, LOW], [2.0, 1.0], [3.0, LOW]]
    assert np.array_equal(stacked.sources["a"], [[10.0, NAN], [NAN, NAN], [NAN, NAN]], equal_nan=True)
    assert np.array_equal(stacked.sources["b"], [[NAN, NAN], [20.0, 10.0], [30.0, LOW]], equal_nan=True)


def test_head_and_take_cut_sources_too() -> None:
    part = ranking([[4, 5], [6, 7]], [[2.0, 1.0], [3.0, 0.0]], "a").take([1, 0, 1]).head(1)
    assert part.items.tolist() == [[6], [4], [6]]
    assert part.sources["a"].tolist() == [[30.0], [20.0], [30.0]]


@pytest.mark.parametrize("k", [1, 5, 99, 100])
def test_many_items_agree_with_a_full_sort(k: int) -> None:
    values = np.random.default_rng(0).integers(0, 20, (30, 100)).astype(np.float32)
    items, _ = DenseScores(values).top(k)
    assert np.array_equal(items, np.argsort(-values, axis=1, kind="stable")[:, :k])
