"""What can be set, and the way down through combinations."""

import math

import pytest
from tests.flows.steps.tiny import Tiny

from twofold.core import Ladder, Pipeline
from twofold.core.ladder import Setting
from twofold.flows.steps.dials import Dial, Places, Weighed, descend, dials_of, named, settings_of

DIALS = [Dial(stage="text", values=("", "int8", "static")), Dial(stage="close", values=(20, 10, 0))]


def test_everything_that_can_be_set_is_found(tiny: Tiny) -> None:
    pipeline = Pipeline.load(tiny.artifact)
    ladders = {name: Ladder.read(folder) for name, folder in tiny.ladders.items()}
    found = [(dial.stage, dial.values) for dial in dials_of(pipeline, ladders)]
    assert sorted(found, key=str) == [
        ("close", ("", "small")),
        ("close", (20, 10, 5, 2, 0)),
        ("fuse", (300, 150, 75, 37, 18)),
        ("next", ("", "small")),
        ("words", ("", "whole", "small")),
    ]
    assert {dial.stage for dial in dials_of(pipeline, {})} == {"close", "fuse"}


def test_a_combination_is_one_setting_a_stage() -> None:
    dials = [*DIALS, Dial(stage="close", values=("", "int8"))]
    assert settings_of(dials, (1, 2, 1)) == {"text": Setting(rung="int8"), "close": Setting(rung="int8", depth=0)}
    assert settings_of(dials, (0, 0, 0)) == {"text": Setting(rung=""), "close": Setting(rung="", depth=20)}
    assert named(dials, (0, 1, 1)) == "close 10, close int8"
    assert named(dials, (0, 0, 0)) == "as fitted"


SECONDS = ((8.0, 2.0, 1.0), (10.0, 5.0, 0.5))
LOSSES = ((0.0, 0.01, 0.2), (0.0, 0.02, 0.05))


def weigh(places: Places) -> Weighed:
    """Losses and times that add up."""
    lost = sum(losses[place] for losses, place in zip(LOSSES, places, strict=True))
    return Weighed(1 - lost, 1.0 + sum(times[place] for times, place in zip(SECONDS, places, strict=True)))


def test_the_way_down_takes_first_what_costs_least_for_the_time_it_saves() -> None:
    found = descend([3, 3], weigh, lambda: True)
    alone = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)]
    assert list(found)[:5] == alone
    # From the top: `text int8` saves ln(19/13) for .01, `close 10` ln(19/14) for .02. Then `close 10` saves ln(13/8)
    # for .02, where `static` saves ln(13/12) for .19; and so on down.
    assert list(found)[5:] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert all(found[places] == weigh(places) for places in found)
    assert 0.01 / math.log(19 / 13) < 0.02 / math.log(19 / 14)


def test_it_does_not_try_the_product() -> None:
    sizes, asked = [6] * 4, []

    def many(places: Places) -> Weighed:
        asked.append(places)
        return Weighed(1 - 0.01 * sum(places), 1 + sum(0.5**place for place in places))

    descend(sizes, many, lambda: True)
    assert len(asked) == len(set(asked)) <= 1 + 4 * 5 + 4 * 20
    assert (5, 5, 5, 5) in asked


def test_what_saves_nothing_or_is_beaten_by_a_faster_one_is_passed_over() -> None:
    def odd(places: Places) -> Weighed:
        first = ((1.0, 10.0), (1.0, 10.1), (0.9, 8.0), (0.95, 5.0))[places[0]]  # slower; beaten; good
        return Weighed(first[0] - 0.01 * places[1], first[1] / (1 + places[1]))

    found = descend([4, 2], odd, lambda: True)
    together = [places for places in found if all(places)]
    assert together == [(3, 1)]


def test_time_that_is_up_ends_it_but_the_top_is_always_weighed() -> None:
    assert list(descend([3, 3], weigh, lambda: False)) == [(0, 0)]
    left = iter([True] * 3)
    assert len(descend([3, 3], weigh, lambda: next(left, False))) == 4


def test_a_pipeline_without_a_dial_has_its_top() -> None:
    assert descend([], lambda _: Weighed(1.0, 3.0), lambda: True) == {(): Weighed(1.0, 3.0)}


@pytest.mark.parametrize("value", ["int8", 10])
def test_a_dial_of_a_rung_sets_no_depth_and_the_other_way_round(value: str | int) -> None:
    setting = settings_of([Dial(stage="a", values=(value,))], (0,))["a"]  # type: ignore[arg-type]
    assert [setting.rung, setting.depth].count(None) == 1
