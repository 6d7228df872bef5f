import time

import pytest

from twofold.core import Event
from twofold.core.errors import DataError


def test_an_event_has_its_own_id_and_the_time_of_now() -> None:
    before = time.time_ns() // 1_000_000
    first, second = Event(kind="click", item=5), Event(kind="click", item=5)
    assert before <= first.timestamp <= time.time_ns() // 1_000_000
    assert first.id != second.id


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "clik", "item": 1}, "'clik'; did you mean 'click'"),
        ({"kind": "rating", "item": 1}, "has no value"),
        ({"kind": "rating", "item": 1, "value": float("inf")}, "the value inf"),
        ({"kind": "click", "user": 1}, "names no item"),
        ({"kind": "user", "item": 1}, "names no user"),
        ({"kind": "experiment", "item": 1}, "names no experiment"),
        ({"kind": "click", "item": 1, "timestamp": -1}, "at -1"),
        ({"kind": "click", "item": 1, "timestamp": 2**63}, "at 9223372036854775808"),
    ],
)
def test_wrong_events_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Event(**wrong)


def test_a_rating_of_zero_is_a_rating() -> None:
    assert Event(kind="rating", item="007", value=0.0).value == 0.0


def test_an_event_may_be_about_a_user_alone() -> None:
    assert Event(kind="user", user=5, attributes={"country": "CN"}).item is None
