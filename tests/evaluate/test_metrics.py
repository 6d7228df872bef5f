import json
import math
import os
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from twofold.core.history import Histories
from twofold.evaluate.metrics import accuracy, break_ties_against, judged_queries, relevance_metrics


def rank(items, scores, targets, ks=(3,)):
    items, scores = np.array(items, np.int32), np.array(scores, np.float32)
    return accuracy(items, scores, Histories.from_lists(targets), ks=ks)


def test_hand_computed_case_without_ties():
    found = rank([[4, 7, 2, 9, 5]], [[5, 4, 3, 2, 1]], [[7, 9, 1]], ks=(1, 3, 5))
    # Hits at places 2 and 4; three targets, of which item 1 is not in the ranking.
    ideal_3 = 1 + 1 / math.log2(3) + 1 / 2
    expected = {
        "hr@1": 0,
        "recall@1": 0,
        "mrr@1": 0,
        "map@1": 0,
        "ndcg@1": 0,
        "hr@3": 1,
        "recall@3": 1 / 3,
        "mrr@3": 1 / 2,
        "map@3": (1 / 2) / 3,
        "ndcg@3": (1 / math.log2(3)) / ideal_3,
        "hr@5": 1,
        "recall@5": 2 / 3,
        "mrr@5": 1 / 2,
        "map@5": (1 / 2 + 2 / 4) / 3,
        "ndcg@5": (1 / math.log2(3) + 1 / math.log2(5)) / ideal_3,
    }
    assert {name: values.item() for name, values in found.items()} == pytest.approx(expected)


def test_perfect_ranking_reaches_one_when_there_are_more_targets_than_places():
    found = rank([[0, 1, 2]], [[3, 2, 1]], [[0, 1, 2, 3, 4]], ks=(3,))
    assert found["ndcg@3"].item() == pytest.approx(1)
    assert found["map@3"].item() == pytest.approx(1)
    assert found["recall@3"].item() == pytest.approx(3 / 5)


def test_tie_places_the_target_last_in_its_run():
    found = rank([[8, 1, 2, 3, 4]], [[9, 5, 5, 5, 1]], [[1]], ks=(3, 4))
    assert found["hr@3"].item() == 0
    assert found["mrr@4"].item() == pytest.approx(1 / 4)


def test_two_targets_in_one_run_take_its_last_two_places():
    relevant = break_ties_against(
        np.array([[1, 2, 3, 4, 5, 6]], np.int32),
        np.array([[7, 7, 7, 7, 2, 2]], np.float32),
        Histories.from_lists([[1, 3, 5]]),
    )
    assert relevant.tolist() == [[False, False, True, True, False, True]]


def test_all_equal_scores_give_the_worst_value_that_any_order_gives():
    items = np.arange(30, dtype=np.int32)[None]
    targets = Histories.from_lists([[0, 1, 2]])
    found = accuracy(items, np.ones((1, 30), np.float32), targets, ks=(10, 30))
    assert found["hr@10"].item() == found["ndcg@10"].item() == 0
    assert found["mrr@30"].item() == pytest.approx(1 / 28)


def test_ranking_cut_within_a_run_is_exact_when_the_tied_targets_fit_beyond_k():
    rng = np.random.default_rng(5)
    whole = np.stack([rng.permutation(40) for _ in range(50)]).astype(np.int32)
    scores = np.broadcast_to(np.repeat([4, 3, 2, 1], 10), whole.shape).astype(np.float32)
    targets = Histories.from_lists([rng.choice(40, 4, replace=False) for _ in range(50)])
    depth, k = 16, 12
    full = accuracy(whole, scores, targets, ks=(k,))
    cut = accuracy(whole[:, :depth], scores[:, :depth], targets, ks=(k,))
    for name, values in full.items():
        np.testing.assert_allclose(cut[name], values, err_msg=name)


def test_padding_is_never_a_hit_and_never_moves_one():
    found = rank([[3, 7, -1, -1]], [[0, 0, 0, 0]], [[7]], ks=(2, 4))
    assert found["mrr@2"].item() == found["mrr@4"].item() == pytest.approx(1 / 2)


def test_empty_rankings_and_no_places_at_all_count_zero():
    empty = rank([[-1, -1], [1, -1]], [[-np.inf, -np.inf], [1, -np.inf]], [[0], [1]], ks=(10,))
    assert empty["ndcg@10"].tolist() == [0, 1]
    none = accuracy(np.empty((2, 0), np.int32), np.empty((2, 0), np.float32), Histories.from_lists([[0], [1]]))
    assert {values.sum() for values in none.values()} == {0}
    assert none["hr@5"].shape == (2,)


def test_k_beyond_the_list_counts_the_missing_places_as_misses():
    found = rank([[5, 6]], [[2, 1]], [[6, 8, 9]], ks=(10,))
    assert found["recall@10"].item() == pytest.approx(1 / 3)
    assert found["ndcg@10"].item() == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3) + 1 / 2))


def test_repeats_in_ranking_or_targets_count_once():
    found = rank([[7, 7, 8]], [[3, 2, 1]], [[7, 7]])
    assert found["recall@3"].item() == found["ndcg@3"].item() == found["map@3"].item() == 1


def test_dislikes_are_nothing_to_find():
    targets = Histories.from_events(np.zeros(2, int), np.array([1, 2]), np.array([-1.0, 0.5]), np.zeros(2, int), size=1)
    found = accuracy(np.array([[1, 2]], np.int32), np.array([[2, 1]], np.float32), targets, ks=(2,))
    assert found["mrr@2"].item() == 1 / 2
    assert found["recall@2"].item() == 1


def test_case_without_a_target_is_refused_by_number():
    with pytest.raises(ValueError, match="case 1 "):
        rank([[1], [1]], [[1], [1]], [[1], []])


def test_misaligned_input_and_senseless_cutoffs_are_refused():
    with pytest.raises(ValueError, match="align"):
        rank([[1]], [[1, 2]], [[1]])
    with pytest.raises(ValueError, match="align"):
        rank([[1]], [[1]], [[1], [1]])
    with pytest.raises(ValueError, match="at least 1"):
        rank([[1]], [[1]], [[1]], ks=(0,))


def test_item_codes_of_neighbouring_rows_are_not_confused():
    # With rows packed into one key, item 10 of row 0 and item 0 of row 1 are neighbours.
    found = rank([[10, 9], [0, 1]], [[2, 1], [2, 1]], [[9], [10]], ks=(2,))
    assert found["hr@2"].tolist() == [1, 0]
    # Nor is the empty place of row 1 the last item of the catalogue, which row 0 seeks.
    found = rank([[1, 2], [3, -1]], [[2, 1], [2, -np.inf]], [[10], [0]], ks=(2,))
    assert found["hr@2"].tolist() == [0, 0]


def test_six_thousand_rankings_take_little_time():
    rng = np.random.default_rng(0)
    items = np.argsort(rng.random((6_040, 200)), axis=1)[:, :60].astype(np.int32)
    scores = -np.sort(-rng.random((6_040, 60)).round(1), axis=1).astype(np.float32)
    targets = Histories.from_lists(rng.integers(0, 200, (6_040, 5)).tolist())
    spent = []
    for _ in range(3):  # processor time, and the best of three: other work on the machine does not count
        start = time.process_time()
        accuracy(items, scores, targets)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.5


RANX = """
import json, sys
import ranx
answers = []
for qrels, run, metrics in json.load(sys.stdin):
    values = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), metrics, return_mean=False)
    answers.append({name: list(found) for name, found in values.items()})
json.dump(answers, sys.stdout)
"""


def ranx_scores(*questions):
    """Ask ranx in a process of its own: not compiled, it answers in seconds instead of minutes."""
    if find_spec("ranx") is None:
        pytest.skip("ranx is not installed")
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps(questions),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


def test_equal_to_ranx_without_ties():
    rng = np.random.default_rng(3)
    items = np.stack([rng.permutation(50)[:20] for _ in range(40)]).astype(np.int32)
    scores = np.broadcast_to(np.linspace(1, 0.1, 20), items.shape).astype(np.float32)
    lists = [rng.choice(50, size=rng.integers(1, 6), replace=False).tolist() for _ in range(40)]
    ours = accuracy(items, scores, Histories.from_lists(lists), ks=(5, 10))
    run = {
        f"q{row:02}": {str(item): float(score) for item, score in zip(items[row], scores[row], strict=True)}
        for row in range(40)
    }
    qrels = {f"q{row:02}": dict.fromkeys(map(str, targets), 1) for row, targets in enumerate(lists)}

    search = {f"q{q:02}": {f"d{d}": rng.random() for d in rng.choice(80, 30, replace=False)} for q in range(30)}
    grades = {
        f"q{q:02}": {f"d{d}": int(rng.integers(1, 4)) for d in rng.choice(80, rng.integers(1, 25), replace=False)}
        for q in range(30)
    }
    ours_search = relevance_metrics(
        {query: list(found.items()) for query, found in search.items()}, grades, ks=(10, 20)
    )

    theirs, theirs_search = ranx_scores(
        (qrels, run, ["hit_rate@10", "recall@10", "mrr@10", "map@10", "ndcg@5", "ndcg@10"]),
        (grades, search, ["ndcg@10", "ndcg@20", "recall@20", "mrr@10", "map@20", "precision@10"]),
    )
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name.replace("hit_rate", "hr")], values, atol=1e-6, err_msg=name)
    for name, values in theirs_search.items():
        np.testing.assert_allclose(ours_search[name], values, atol=1e-6, err_msg=name)


def test_search_relevance_by_hand():
    run = {"a": [("x", 0.2), ("y", 0.9), ("z", 0.5)], "unjudged": [("x", 1.0)]}
    qrels = {"a": {"x": 2, "z": 1, "w": 3, "y": 0}, "b": {"x": 1}, "nothing": {"x": 0}}
    found = relevance_metrics(run, qrels, ks=(3,))
    assert judged_queries(qrels) == ["a", "b"]
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert found["ndcg@3"] == pytest.approx([(1 / math.log2(3) + 2 / 2) / ideal, 0])
    assert found["recall@3"] == pytest.approx([2 / 3, 0])
    assert found["mrr@3"] == pytest.approx([1 / 2, 0])
    assert found["map@3"] == pytest.approx([(1 / 2 + 2 / 3) / 3, 0])
    assert found["precision@3"] == pytest.approx([2 / 3, 0])


def test_search_ties_place_the_more_relevant_last():
    found = relevance_metrics({"a": [("x", 1), ("y", 1), ("z", 1)]}, {"a": {"x": 3, "y": 1}}, ks=(1, 3))
    assert found["ndcg@1"].item() == 0
    assert found["ndcg@3"].item() == pytest.approx((1 / math.log2(3) + 3 / 2) / (3 + 1 / math.log2(3)))


def test_search_counts_a_document_that_comes_twice_once():
    found = relevance_metrics({"a": [("x", 2), ("x", 1)]}, {"a": {"x": 1}}, ks=(2,))
    assert found["recall@2"].item() == found["ndcg@2"].item() == 1
    assert found["precision@2"].item() == 1 / 2
