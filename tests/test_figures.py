"""The figures that Twofold promises, measured on real data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.costs import ease_beside_numpy
from benchmarks.ml1m_loo import read_ml1m

from twofold.core import Batch, Dataset, Query
from twofold.data import Cases, Split, dataset_of, read_data, read_scifact, split
from twofold.evaluate import accuracy, relevance_metrics
from twofold.flows import default_recipe, evaluate, fit, rank_cases
from twofold.retrieval import Lexical


@pytest.fixture(scope="module")
def ml1m(data_folder: Path) -> tuple[Dataset, Cases]:
    return split(read_ml1m(data_folder), Split(kind="leave-one-out"))


def test_the_default_recipe_beats_every_row_on_movielens_small(data_folder: Path) -> None:
    table = evaluate(read_data(data_folder / "ml-latest-small"))
    fused = "default (fused)"
    assert table.best == fused
    assert all(row.p_corrected < 0.05 for row in table.against(fused))
    recent = next(row for row in table.against("popular, last week") if row.system == fused)
    assert recent.ratio_low is not None
    assert recent.ratio_low > 1.2


def test_the_default_recipe_on_ml1m_leave_one_out(ml1m: tuple[Dataset, Cases]) -> None:
    train, cases = ml1m
    found = accuracy(*rank_cases(fit(train, default_recipe()), cases), cases.targets, ks=(10,))
    assert found["hr@10"].mean() >= 0.2818
    assert found["ndcg@10"].mean() >= 0.166


def test_ease_on_ml1m_is_the_papers(ml1m: tuple[Dataset, Cases]) -> None:
    train, cases = ml1m
    found = ease_beside_numpy(train, cases.take(np.arange(0, len(cases), 3)))
    assert found["difference"] < 1e-4
    assert found["ndcg@10"] > 0.04


def test_bm25_on_scifact(data_folder: Path) -> None:
    judged = read_scifact(data_folder / "scifact")
    dataset = dataset_of(judged.documents)
    items, scores = Lexical().fit(dataset).score(Batch.of_texts(list(judged.queries.values())), "text").top(100)
    run = {}
    for query, row, said in zip(judged.queries, items, scores, strict=True):
        found = map(str, dataset.item_ids.decode(row[row >= 0]))
        run[query] = list(zip(found, said[row >= 0].tolist(), strict=True))
    assert relevance_metrics(run, judged.qrels)["ndcg@10"].mean() >= 0.66


def test_a_search_for_what_people_know_by_name(data_folder: Path) -> None:
    recipe = replace(default_recipe(), tune={})
    pipeline = fit(read_data(data_folder / "ml-latest-small"), recipe)
    for text, wanted in {"toy stroy": 1, "shawshank": 318, "pulp fictoin": 296, "matri": 2571}.items():
        assert wanted in pipeline.run(Query(text=text, k=3)).items, text
