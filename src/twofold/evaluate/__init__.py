"""Measure: accuracy of rankings, what lists are like beyond it, relevance of search, how sure figures are; report."""

from twofold.evaluate.lists import (
    beyond,
    category_matrix,
    gini,
    intra_list_diversity,
    popularity_percentiles,
    slices,
)
from twofold.evaluate.metrics import accuracy, break_ties_against, judged_queries, relevance_metrics
from twofold.evaluate.protocol import machine
from twofold.evaluate.report import render_report, write_report
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
from twofold.evaluate.table import Cell, Comparison, Estimate, Row, Table

__all__ = [
    "Cell",
    "Comparison",
    "Estimate",
    "PairedResult",
    "Row",
    "Table",
    "accuracy",
    "beyond",
    "bootstrap_interval",
    "bootstrap_intervals",
    "break_ties_against",
    "category_matrix",
    "cluster_mean",
    "cluster_means",
    "gini",
    "holm",
    "intra_list_diversity",
    "judged_queries",
    "machine",
    "paired_test",
    "popularity_percentiles",
    "ratio_interval",
    "relevance_metrics",
    "render_report",
    "slices",
    "write_report",
]
