import pytest

from twofold.core.errors import DataError
from twofold.data import guess_columns
from twofold.data.columns import holds_ids


@pytest.mark.parametrize("user", ["userId", "user_id", "USER ID", "uid", "visitorid", "Customer", "reviewerID"])
@pytest.mark.parametrize("item", ["itemId", "movie_id", "productId", "asin", "SKU", "article"])
def test_common_names_of_users_and_items(user: str, item: str) -> None:
    assert guess_columns(["x", item, user]).columns == {"user": user, "item": item}


def test_all_roles_of_interactions() -> None:
    mapping = guess_columns(["event_time", "event_type", "product_id", "user_id", "stars"])
    assert mapping.columns == {
        "user": "user_id",
        "item": "product_id",
        "rating": "stars",
        "timestamp": "event_time",
        "event": "event_type",
    }
    assert set(mapping.guessed) == {"user", "item", "rating", "timestamp", "event"}


def test_the_surest_name_wins() -> None:
    assert guess_columns(["session", "user", "item", "product"]).columns == {"user": "user", "item": "item"}


def test_roles_of_items() -> None:
    mapping = guess_columns(["id", "Name", "Overview", "genres", "price"], "items")
    assert mapping.columns == {"item": "id", "title": "Name", "text": "Overview", "categories": "genres"}


def test_what_is_given_wins_and_is_not_called_guessed() -> None:
    mapping = guess_columns(["user", "buyer_x", "item"], given={"user": "buyer_x", "title": "nothing here"})
    assert mapping.columns == {"user": "buyer_x", "item": "item"}
    assert mapping.guessed == ("item",)


def test_a_missing_column_is_refused_with_what_there_is() -> None:
    with pytest.raises(DataError, match=r"looks like the item among 'user', 'thing'; .*--column item=NAME"):
        guess_columns(["user", "thing"])
    with pytest.raises(DataError, match="have no column 'buyer' for 'user'; they have 'user', 'item'"):
        guess_columns(["user", "item"], given={"user": "buyer"})
    with pytest.raises(DataError, match="cannot be mapped to 'usr'; did you mean 'user'"):
        guess_columns(["user", "item"], given={"usr": "user"})


def test_names_that_say_ids() -> None:
    assert [name for name in ("tmdbId", "user", "zip", "asin", "rating") if holds_ids(name)] == [
        "tmdbId",
        "user",
        "asin",
    ]
