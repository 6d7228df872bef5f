import json

import numpy as np
import polars as pl

from twofold.models.attributes import Attributes

ITEMS = pl.DataFrame(
    {
        "item": ["a", "b", "c"],
        "title": ["x", "y", "z"],
        "categories": [["new", "old"], ["new"], None],
        "price": [0.0, 1.0, None],
        "constant": [5, 5, 5],
    }
)


def test_list_columns_have_a_place_for_each_value():
    attributes = Attributes.of(ITEMS.select("item", "title", "categories"))
    assert attributes.values == {"categories": ["new", "old"]}
    assert attributes.rows(ITEMS).tolist() == [[1, 1], [1, 0], [0, 0]]


def test_a_number_is_shared_among_the_points_that_it_lies_between():
    attributes = Attributes(values={}, knots={"price": [0.0, 1.0, 3.0]})
    items = pl.DataFrame({"price": [0.25, 2.0, -7.0, 9.0, None, float("nan")]})
    assert attributes.rows(items).tolist() == [
        [0.75, 0.25, 0],
        [0, 0.5, 0.5],
        [1, 0, 0],
        [0, 0, 1],
        [0, 0, 0],
        [0, 0, 0],
    ]


def test_a_column_of_one_number_says_nothing():
    attributes = Attributes.of(ITEMS)
    assert list(attributes.knots) == ["price"]
    assert len(attributes.knots["price"]) == 10
    assert attributes.rows(ITEMS).shape == (3, attributes.size)


def test_columns_and_values_that_came_later_or_are_gone_count_as_missing():
    attributes = Attributes.of(ITEMS)
    later = pl.DataFrame({"item": ["d"], "categories": [["unheard"]]})
    assert not attributes.rows(later).any()


def test_a_catalogue_without_columns():
    attributes = Attributes.of(ITEMS.select("item", "title"))
    assert attributes.rows(ITEMS).shape == (3, 0)


def test_round_trip_through_json():
    attributes = Attributes.of(ITEMS)
    again = Attributes(**json.loads(json.dumps(attributes.as_table())))
    np.testing.assert_array_equal(again.rows(ITEMS), attributes.rows(ITEMS))
