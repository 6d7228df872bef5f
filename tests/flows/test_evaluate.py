from dataclasses import replace

import numpy as np
import pytest

from twofold.core import Dataset, Query
from twofold.core.errors import DataError
from twofold.data import Split, split
from twofold.flows import default_recipe, evaluate, fit, rank_cases, single


def test_the_table_has_the_recipe_its_parts_and_the_baselines(dataset: Dataset) -> None:
    table = evaluate(dataset)
    names = {row.name for row in table.rows}
    assert {"popular", "popular, last week", "item-knn", "ease", "transitions", "default (fused)"} <= names
    assert table.baseline == "popular, last week"
    card = table.protocol
    assert card["split"] == "global-time"
    assert card["ties"] == "against the model"
    assert {"candidates", "seen items", "data", "machine", "seed", "cases"} <= set(card)


def test_taste_is_found_where_it_is_known_to_be(dataset: Dataset) -> None:
    table = evaluate(dataset)
    fused, popular = table.find("default (fused)", "ndcg@10"), table.find("popular", "ndcg@10")
    assert fused is not None
    assert popular is not None
    assert fused.value > 1.2 * popular.value


def test_ranking_many_cases_is_asking_one_query_each(dataset: Dataset) -> None:
    train, cases = split(dataset, Split())
    pipeline = fit(train, single("ease", {"kind": "ease"}, default_recipe()))
    items, _ = rank_cases(pipeline, cases)
    for row in range(0, len(cases), max(len(cases) // 10, 1)):
        # A history given in a query is one of likes; events of other values stay out of it here.
        case = cases.histories.row(row)
        if (case.values <= 0).any():
            continue
        slate = pipeline.run(Query(history=train.item_ids.decode(case.items), k=10))
        assert slate.items == train.item_ids.decode(items[row, :10])


def test_no_seen_item_is_recommended(dataset: Dataset) -> None:
    train, cases = split(dataset, Split())
    items, _ = rank_cases(fit(train, replace(default_recipe(), tune={})), cases)
    allowed = cases.allowed(len(train.items))
    assert np.take_along_axis(allowed, np.maximum(items, 0), axis=1)[items >= 0].all()


def test_a_log_with_nothing_to_hold_out_cannot_be_measured(make_log) -> None:
    with pytest.raises(DataError, match="give more events"):
        evaluate(make_log([[0]]))


def test_the_split_of_the_recipe_is_used(dataset: Dataset) -> None:
    recipe = replace(default_recipe(), split={"kind": "leave-one-out"}, tune={})
    table = evaluate(dataset, recipe)
    assert table.protocol["split"] == "leave-one-out"
