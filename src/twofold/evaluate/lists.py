"""What lists are like beyond accuracy: how much of the catalogue they show, how popular, new and varied it is.

Shapes: c cases, d places of a ranking, n items, g categories, k the cut-off.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.evaluate.metrics import accuracy
from twofold.evaluate.significance import Clusters, cluster_mean

__all__ = ["beyond", "category_matrix", "gini", "intra_list_diversity", "popularity_percentiles", "slices"]

Values = npt.NDArray[np.float64]

CELLS = 1 << 22
"""So many category weights are laid out at a time, to keep memory small."""


def beyond(
    items: Codes, dataset: Dataset, histories: Histories, *, ks: Sequence[int] = (10,), clusters: Clusters | None = None
) -> dict[str, float]:
    """Return what the first k places of all rankings are like together.

    With f(i) the likes of item i in `dataset`:

        coverage@k         share of the n items that stand in any list
        gini@k             how unevenly places are dealt out to the n items (see `gini`)
        popularity@k       mean popularity percentile of what is shown (see `popularity_percentiles`)
        popularity_lift@k  popularity@k against the likes of the same users' histories, relative to these:
                           0 shows what is as popular as what they like, above 0 something more popular
        novelty@k          mean of -log2 p(i) in bits, p(i) = max(f(i), 1) / sum f
        diversity@k        mean of 1 - similarity of categories over pairs of a list (see `intra_list_diversity`)
        cold_share@k       share of places that hold an item without a like

    Vargas and Castells, Rank and relevance in novelty and diversity metrics, RecSys 2011 (novelty, diversity);
    Abdollahpouri et al., The unfairness of popularity bias in recommendation, RMSE 2019 (lift).
    A list without items has no opinion on means; a metric for which nothing is known is left out.

    Args:
        items: rankings of item codes, the best first, shape [c, d]; -1 where there is no more.
        dataset: what the systems were fitted on.
        histories: what was known of the user in each case, c rows.
        ks: cut-offs.
        clusters: the user of each case; means are over users of their mean.
    """
    counts = dataset.item_counts
    percentiles = popularity_percentiles(counts)
    liked = histories.likes()
    sums = np.bincount(liked.rows, percentiles[liked.items], minlength=len(histories))
    usual = np.divide(sums, liked.lengths, out=np.full(len(liked), np.nan), where=liked.lengths > 0)
    bits = -np.log2(np.maximum(counts, 1) / max(int(counts.sum()), 1))
    categories = category_matrix(dataset.items["categories"]) if "categories" in dataset.items.columns else None
    found: dict[str, float] = {}
    for k in ks:
        top = items[:, :k]
        exposure = np.bincount(top[top >= 0], minlength=len(counts))
        popularity = _row_means(top, percentiles)
        both = np.isfinite(popularity) & np.isfinite(usual)
        found[f"coverage@{k}"] = float((exposure > 0).mean()) if len(exposure) else np.nan
        found[f"gini@{k}"] = gini(exposure)
        found[f"popularity@{k}"] = _mean(popularity, clusters)
        before = _mean(np.where(both, usual, np.nan), clusters)
        after = _mean(np.where(both, popularity, np.nan), clusters)
        found[f"popularity_lift@{k}"] = after / before - 1
        found[f"novelty@{k}"] = _mean(_row_means(top, bits), clusters)
        if categories is not None:
            found[f"diversity@{k}"] = _mean(intra_list_diversity(top, categories), clusters)
        found[f"cold_share@{k}"] = _mean(_row_means(top, (counts == 0).astype(np.float64)), clusters)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def slices(
    items: Codes,
    scores: Floats,
    targets: Histories,
    histories: Histories,
    counts: npt.NDArray[np.integer],
    *,
    ks: Sequence[int] = (10,),
    short: int = 5,
    clusters: Clusters | None = None,
) -> dict[str, dict[str, float]]:
    """Return the accuracy among cases that are hard for different reasons.

        new users        nothing is known of the user
        short histories  1 to `short` events are known
        long histories   more are known
        new items        the targets that have no like yet, and the cases that have such a target

    Args:
        items: rankings of item codes, shape [c, d].
        scores: their scores, shape [c, d].
        targets: the items to find, one row a case.
        histories: what was known of the user in each case.
        counts: likes of each item in what the systems were fitted on, shape [n].
        ks: cut-offs.
        short: the longest history that is called short.
        clusters: the user of each case.

    Returns:
        Name of a slice to its metrics and `cases`, their number; a slice without a case is left out.
    """
    lengths = histories.lengths
    liked = targets.likes()
    fresh = liked.where(counts[liked.items] == 0)
    parts = {
        "new users": (lengths == 0, liked),
        "short histories": ((lengths > 0) & (lengths <= short), liked),
        "long histories": (lengths > short, liked),
        "new items": (fresh.lengths > 0, fresh),
    }
    found = {}
    for name, (member, wanted) in parts.items():
        rows = np.flatnonzero(member)
        if len(rows):
            users = None if clusters is None else clusters[rows]
            metrics = accuracy(items[rows], scores[rows], wanted.take(rows), ks=ks)
            means = {metric: cluster_mean(values, users) for metric, values in metrics.items()}
            found[name] = {"cases": float(len(rows)), **means}
    return found


def gini(counts: npt.NDArray[np.integer]) -> float:
    """Return the Gini coefficient of counts: 0 where all are equal, near 1 where one has everything.

    NaN where nothing was counted.

    >>> gini(np.array([2, 2, 2, 2])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    size, total = len(counts), int(counts.sum())
    if not total:
        return float("nan")
    return float(((2 * np.arange(1, size + 1) - size - 1) * np.sort(counts)).sum() / (size * total))


def popularity_percentiles(counts: npt.NDArray[np.integer]) -> Values:
    """Return the share of items with fewer likes, plus half of those with as many, shape [n].

    >>> popularity_percentiles(np.array([5, 0, 1, 0])).tolist()
    [0.875, 0.25, 0.625, 0.25]
    """
    return np.asarray((rankdata(counts) - 0.5) / max(len(counts), 1), np.float64)


def category_matrix(categories: pl.Series) -> Any:
    """Return which item has which category: a sparse matrix of 0 and 1, shape [n, g].

    Args:
        categories: a list of names for each item, or null.
    """
    lists = categories.cast(pl.List(pl.String)).alias("name").to_frame().with_row_index("row")
    pairs = lists.explode("name").drop_nulls().unique(maintain_order=True)
    rows = pairs["row"].to_numpy()
    columns = (pairs["name"].rank("dense") - 1).to_numpy().astype(np.int64)
    shape = (len(categories), int(columns.max(initial=-1)) + 1)
    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)


def intra_list_diversity(
    items: Codes, features: Any, *, similarity: Literal["jaccard", "cosine"] = "jaccard"
) -> Values:
    """Return the mean of 1 - similarity over all pairs of items of each list.

    Similarity is the Jaccard index of the sets of categories, or the cosine of their weights. Items without
    a category are left out of the pairs.

    Args:
        items: lists of item codes, shape [c, k]; -1 where there is no more.
        features: weights of categories, sparse, shape [n, g].
        similarity: which one.

    Returns:
        Shape [c]; NaN where a list has no pair.
    """
    rows = csr_matrix(features, dtype=np.float32, copy=True)
    if similarity == "jaccard":
        rows.data = (rows.data != 0).astype(np.float32)
    norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1), np.float64).ravel())
    width = items.shape[1]
    upper = np.triu(np.ones((width, width), bool), 1)
    result = np.full(len(items), np.nan)
    step = max(1, CELLS // max(1, width * (width + rows.shape[1])))
    for start in range(0, len(items), step):
        part = items[start : start + step]
        shown = rows[np.maximum(part, 0).ravel()].toarray().reshape(*part.shape, -1)
        norm = np.where(part < 0, 0.0, norms[np.maximum(part, 0)])
        paired = upper & (norm[:, :, None] > 0) & (norm[:, None, :] > 0)
        together = (shown @ shown.transpose(0, 2, 1)).astype(np.float64)
        if similarity == "jaccard":
            whole = norm[:, :, None] ** 2 + norm[:, None, :] ** 2 - together
        else:
            whole = norm[:, :, None] * norm[:, None, :]
        alike = np.divide(together, whole, out=np.zeros_like(together), where=paired)
        pairs = paired.sum(axis=(1, 2))
        np.divide(alike.sum(axis=(1, 2)), pairs, out=result[start : start + step], where=pairs > 0)
    return 1 - result


def _row_means(items: Codes, values: Values) -> Values:
    """Return the mean value of the items of each list, NaN where there are none."""
    there = items >= 0
    means = np.full(len(items), np.nan)
    if there.any():
        sums = np.where(there, values[np.maximum(items, 0)], 0.0).sum(axis=1)
        np.divide(sums, there.sum(axis=1), out=means, where=there.any(axis=1))
    return means


def _mean(values: Values, clusters: Clusters | None) -> float:
    known = np.isfinite(values)
    if not known.any():
        return float("nan")
    return cluster_mean(values[known], None if clusters is None else clusters[known])
