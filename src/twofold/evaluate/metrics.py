"""Accuracy of rankings: how high the items to find stand. Ties are broken against the model.

Shapes: c cases (or q queries), d places of a ranking, k the cut-off.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.scores import Floats, Mask

__all__ = ["accuracy", "break_ties_against", "judged_queries", "relevance_metrics"]

Values = npt.NDArray[np.float64]


def accuracy(items: Codes, scores: Floats, targets: Histories, *, ks: Sequence[int] = (5, 10, 20)) -> dict[str, Values]:
    """Return the accuracy of rankings, case by case.

    The items to find (targets) are the distinct items with a value above 0, all of equal worth.
    With h(i) = 1 where a target stands at place i, and t the number of targets:

        hr@k      1 where there is any hit up to k, else 0
        recall@k  sum_{i<=k} h(i) / t
        mrr@k     1 / the place of the first hit up to k, else 0
        map@k     sum_{i<=k} h(i) * (hits up to i) / i / min(k, t)
        ndcg@k    sum_{i<=k} h(i) / log2(i + 1)  /  sum_{i<=min(k, t)} 1 / log2(i + 1)

    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, TOIS 2002 (NDCG);
    Voorhees and Harman, TREC, MIT Press 2005 (the others). An item that a ranking repeats counts once.

    Args:
        items: rankings of item codes, the best first, shape [c, d]; -1 where there is no more.
        scores: their scores, falling, shape [c, d]; equal scores are ties (see `break_ties_against`).
        targets: the items to find, one row a case.
        ks: cut-offs; one beyond d counts the missing places as misses.

    Returns:
        Name, such as `ndcg@10`, to float64 [c].

    Raises:
        ValueError: shapes differ, a cut-off is below 1, or a case has nothing to find.
    """
    targets = _distinct(targets.likes())
    totals = targets.lengths.astype(np.float64)
    if not totals.all():
        raise ValueError(f"case {int(np.argmin(totals))} has no target to find; leave such cases out")
    hits = break_ties_against(items, scores, targets).astype(np.float64)
    ideal = (np.arange(max(ks, default=1)) < totals[:, None]).astype(np.float64)
    measured: dict[str, Values] = {}
    for k in _checked(ks):
        measured[f"hr@{k}"] = np.asarray(hits[:, :k].any(axis=1), np.float64)
        measured[f"recall@{k}"] = _count(hits, k) / totals
        measured[f"mrr@{k}"] = _reciprocal_rank(hits, k)
        measured[f"map@{k}"] = _average_precision(hits, k) / np.minimum(k, totals)
        measured[f"ndcg@{k}"] = _gain(hits, k) / _gain(ideal, k)
    return measured


def break_ties_against(items: Codes, scores: Floats, targets: Histories) -> Mask:
    """Say at which places of rankings a target stands, when ties are broken against the model.

    Within a run of equal scores the targets are placed last, so a model that gives everything one
    score gets what it would get at worst. Where a run is cut by the end of the list, the targets come
    last among what is there: a metric at k is exact if d - k is at least the number of targets that tie.

    Args:
        items: rankings of item codes, the best first, shape [c, d]; -1 where there is no more.
        scores: their scores, falling, shape [c, d].
        targets: the items to find, one row a case; events with a value of 0 or less are none.

    Returns:
        Whether a target stands there, shape [c, d].

    Raises:
        ValueError: shapes differ.
    """
    if items.shape != scores.shape or items.ndim != 2 or len(items) != len(targets):
        raise ValueError(f"rankings {items.shape}, scores {scores.shape} and {len(targets)} targets do not align")
    found = np.zeros(items.shape, bool)
    if not found.size:
        return found
    rows, columns = np.nonzero(_is_target(items, targets))
    codes = items[rows, columns]
    first = np.unique(rows * (int(items.max()) + 1) + codes, return_index=True)[1]
    rows, columns = (places[np.sort(first)] for places in (rows, columns))
    # A hit moves to the end of its run; hits of one run keep apart, the last of them at the very end.
    ends = _run_ends(items, scores)[rows, columns]
    runs = rows * items.shape[1] + ends
    later = np.searchsorted(runs, runs, side="right") - 1 - np.arange(len(runs))
    found[rows, ends - later] = True
    return found


def judged_queries(qrels: Mapping[str, Mapping[Any, float]]) -> list[str]:
    """Return the queries that `relevance_metrics` measures: those with a document of grade above 0."""
    return [query for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())]


def relevance_metrics(
    run: Mapping[str, Sequence[tuple[Hashable, float]]],
    qrels: Mapping[str, Mapping[Any, float]],
    *,
    ks: Sequence[int] = (10, 100),
) -> dict[str, Values]:
    """Return how relevant search results are, query by query.

    As `accuracy`, with the conventions of trec_eval and BEIR: the gain of a document is its grade
    (linear), the ideal of NDCG is made of all judged documents, MAP is divided by the number of relevant
    documents, and a document without a judgement is not relevant. Precision@k is hits / k. A judged query
    without results counts 0; a query without a relevant document is left out. Results are ordered by
    falling score, and of equal scores the more relevant document comes last.

    Args:
        run: query to its results (document, score), in any order.
        qrels: query to documents and their grades; above 0 is relevant.
        ks: cut-offs.

    Returns:
        Name, such as `ndcg@10`, to float64 [q], in the order of `judged_queries`.

    Raises:
        ValueError: a cut-off is below 1.
    """
    queries = judged_queries(qrels)
    gains = _padded([_gains(run.get(query, ()), qrels[query]) for query in queries])
    ideal = _padded([sorted((g for g in qrels[query].values() if g > 0), reverse=True) for query in queries])
    totals, hits = (ideal > 0).sum(axis=1), (gains > 0).astype(np.float64)
    measured: dict[str, Values] = {}
    for k in _checked(ks):
        measured[f"ndcg@{k}"] = _gain(gains, k) / _gain(ideal, k)
        measured[f"recall@{k}"] = _count(hits, k) / totals
        measured[f"mrr@{k}"] = _reciprocal_rank(hits, k)
        measured[f"map@{k}"] = _average_precision(hits, k) / totals
        measured[f"precision@{k}"] = _count(hits, k) / k
    return measured


def _checked(ks: Sequence[int]) -> Sequence[int]:
    if any(k < 1 for k in ks):
        raise ValueError(f"a cut-off must be at least 1, but ks is {tuple(ks)}")
    return ks


def _distinct(histories: Histories) -> Histories:
    """Return the histories with the first event of each item alone."""
    keys = histories.rows * (int(histories.items.max(initial=0)) + 1) + histories.items
    keep = np.zeros(len(keys), bool)
    keep[np.unique(keys, return_index=True)[1]] = True
    return histories.where(keep)


def _is_target(items: Codes, targets: Histories) -> Mask:
    """Say which items of rankings are targets, before ties are looked at, shape [c, d]."""
    span = max(int(items.max(initial=0)), int(targets.items.max(initial=0))) + 1
    wanted = targets.values > 0
    known = np.sort(targets.rows[wanted] * span + targets.items[wanted])
    if not len(known):
        return np.zeros(items.shape, bool)
    keys = np.arange(len(items))[:, None] * span + items
    place = np.minimum(np.searchsorted(known, keys.ravel()), len(known) - 1).reshape(items.shape)
    return np.asarray((known[place] == keys) & (items >= 0))


def _run_ends(items: Codes, scores: Floats) -> npt.NDArray[np.int64]:
    """Return the last column of the run of equal scores in which each place lies, shape [c, d]."""
    width = items.shape[1]
    last = np.ones(items.shape, bool)
    last[:, :-1] = (scores[:, 1:] != scores[:, :-1]) | (items[:, 1:] < 0)
    ends = np.where(last, np.arange(width), width)
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


def _gains(results: Sequence[tuple[Hashable, float]], grades: Mapping[Any, float]) -> list[float]:
    """Return the grades of results in their order, ties against the run; a repeated document counts once."""
    best: dict[Hashable, float] = {}
    for document, score in results:
        best[document] = max(score, best.get(document, score))
    found = [(-score, max(float(grades.get(document, 0.0)), 0.0)) for document, score in best.items()]
    return [gain for _, gain in sorted(found)]


def _padded(rows: Sequence[Sequence[float]]) -> Values:
    padded = np.zeros((len(rows), max(map(len, rows), default=0)))
    for row, values in enumerate(rows):
        padded[row, : len(values)] = values
    return padded


def _count(hits: Values, k: int) -> Values:
    return np.asarray(hits[:, :k].sum(axis=1), np.float64)


def _gain(gains: Values, k: int) -> Values:
    """Return the discounted cumulative gain up to k."""
    top = gains[:, :k]
    return np.asarray(top @ (1.0 / np.log2(np.arange(2, top.shape[1] + 2))))


def _reciprocal_rank(hits: Values, k: int) -> Values:
    top = hits[:, :k]
    return np.asarray((top / np.arange(1, top.shape[1] + 1)).max(axis=1, initial=0.0))


def _average_precision(hits: Values, k: int) -> Values:
    """Return the sum of the precisions at hits up to k."""
    top = hits[:, :k]
    return np.asarray((top * top.cumsum(axis=1) / np.arange(1, top.shape[1] + 1)).sum(axis=1))
