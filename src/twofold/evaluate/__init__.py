"""Measure: accuracy of rankings, relevance of search, and how sure the figures are."""

from twofold.evaluate.metrics import accuracy, break_ties_against, judged_queries, relevance_metrics
from twofold.evaluate.significance import (
    PairedResult,
    bootstrap_interval,
    bootstrap_intervals,
    cluster_mean,
    cluster_means,
    holm,
    paired_test,
    ratio_interval,
)

__all__ = [
    "PairedResult",
    "accuracy",
    "bootstrap_interval",
    "bootstrap_intervals",
    "break_ties_against",
    "cluster_mean",
    "cluster_means",
    "holm",
    "judged_queries",
    "paired_test",
    "ratio_interval",
    "relevance_metrics",
]
