"""The controller, on a clock that is a number."""

import statistics
import time

import pytest

from twofold.core.errors import ConfigError
from twofold.serve.control import Controller, Costs, Demand, Steering, Step

TOP = Step(name="top", quality=1.0, seconds=0.020)
MIDDLE = Step(name="middle", quality=0.98, seconds=0.008)
FAST = Step(name="fast", quality=0.93, seconds=0.002)
POOR = Step(name="poor", quality=0.50, seconds=0.001)
LADDER = [TOP, MIDDLE, FAST, POOR]


def measured(steering: Steering | None = None) -> Controller:
    """A controller that has seen that the ladder's figures hold, and that 1 ms comes on top."""
    controller = Controller(LADDER, steering or Steering())
    for _ in range(20):
        controller.costs.observe(TOP, 1, 0.021, 0.020)
    return controller


def test_costs_are_learned_for_all_rungs_from_the_one_in_use() -> None:
    costs = Costs()
    costs.observe(MIDDLE, 4, 0.072, 0.064)  # 18 ms each, 16 of them for encoding: twice what the ladder says
    assert (costs.each, costs.start, costs.factor) == pytest.approx((0.002, 0.0, 2.0))
    assert costs.of(TOP) == pytest.approx(0.042)
    assert costs.high == 1.0
    for seconds in [0.018] * 18 + [0.054] * 2:
        costs.observe(MIDDLE, 1, seconds, seconds - 0.002)
    assert costs.high > 2.0


def test_a_rung_of_which_the_ladder_is_wrong_is_told_after_some_steps() -> None:
    """The ladder says 2.5 times as fast as the top rung, and it is 20 times."""
    costs = Costs()
    for _ in range(6):
        for _ in range(20):
            costs.observe(TOP, 1, 0.021, 0.020)
        for _ in range(6):
            costs.observe(MIDDLE, 1, 0.002, 0.001)
    for _ in range(20):
        costs.observe(TOP, 1, 0.021, 0.020)
    assert costs.of(MIDDLE) == pytest.approx(0.002, rel=0.2)
    for _ in range(60):
        costs.observe(MIDDLE, 1, 0.002, 0.001)
    assert costs.of(TOP) == pytest.approx(0.021, rel=0.2)  # a long time below says as little as it should
    for _ in range(60):
        costs.observe(MIDDLE, 1, 0.004, 0.002)  # a machine that is twice as busy slows all
    assert costs.of(TOP) == pytest.approx(0.042, rel=0.2)


def test_a_rung_that_stood_still_when_it_was_tried_is_still_worth_a_try() -> None:
    controller = measured()
    controller.choose(1.0, [Demand(1_000, 0.01)])
    for _ in range(20):
        controller.costs.observe(controller.current, 1, 0.101, 0.100)  # some 50 times what is expected
        controller.costs.observe(TOP, 1, 0.021, 0.020)
    assert controller.costs.another(FAST) > 8 * (FAST.seconds + 0.001)
    assert controller.choose(2.0, [Demand(1_000, 0.01)]) is FAST


def test_the_first_slow_go_is_not_believed_and_soon_forgotten() -> None:
    costs = Costs()
    costs.observe(TOP, 1, 0.5, 0.1)
    assert not costs.known
    for _ in range(4):
        costs.observe(TOP, 1, 0.021, 0.020)
    assert costs.known
    assert costs.of(TOP) == pytest.approx(0.021 + (0.5 - 0.021) / 16)


def test_what_a_go_costs_by_itself_is_told_from_goes_of_several_sizes() -> None:
    costs = Costs()
    for count in [1] * 30:
        costs.observe(TOP, count, 0.005, 0.0)
    assert costs.of(TOP, 10) == pytest.approx(0.050)  # nothing else is known yet
    for count in [1, 4, 2, 8, 1, 16] * 20:
        costs.observe(TOP, count, 0.003 + 0.002 * count, 0.0)
    assert costs.of(TOP, 1) == pytest.approx(0.005, rel=0.1)
    assert costs.of(TOP, 16) == pytest.approx(0.035, rel=0.1)
    assert costs.of(TOP, 32) == pytest.approx(0.070, rel=0.1)
    assert 9 <= costs.fitting(TOP, 0.0231) <= 11
    assert costs.fitting(TOP, 0.001) == 1
    for _ in range(300):
        costs.observe(TOP, 1, 0.010, 0.0)  # twice as dear, and all alone: how a crowd compares is not forgotten
    assert costs.of(TOP, 16) == pytest.approx(0.070, rel=0.15)


def test_it_steps_down_at_once_and_no_further_than_needed() -> None:
    controller = measured()
    assert controller.choose(1.0, [Demand(1, 0.1)]) is TOP
    # eight ahead: 168 ms with the top rung, 72 with the middle one, and 90 are planned with
    assert controller.choose(1.1, [Demand(8, 0.1)]) is MIDDLE
    assert controller.choose(1.2, [Demand(1, 0.1), Demand(20, 0.1)]) is FAST


def test_a_go_is_cut_to_what_its_first_question_can_wait_for() -> None:
    controller = measured()  # 21 ms with the top rung, 3 with the fastest that may be used
    assert controller.fitting(0.1281, 1.0) == 3  # half of that, as long as it is not the fastest one
    controller.choose(1.0, [Demand(1_000, 0.01)])
    assert controller.fitting(0.0641, 1.0) == 21
    assert controller.fitting(0.0641, 0.0114) == 3  # four fifths of 11 ms
    assert controller.fitting(0.0641, 0.001) == 1


def test_a_wait_is_predicted_with_one_slow_go() -> None:
    controller = measured()
    assert controller.careful(10) == pytest.approx(0.030)
    for _ in range(5):
        controller.costs.observe(FAST, 1, 0.009, 0.006)  # three times what is expected at first
    assert controller.costs.high > 1.5
    assert controller.careful(10) == pytest.approx(controller.seconds(10) * controller.costs.high)


def test_a_go_that_stood_still_for_once_has_no_crowd_refused() -> None:
    alone = Step(name="", quality=1.0, seconds=0.0)
    controller = Controller([alone], Steering())
    for _ in range(20):
        controller.costs.observe(alone, 1, 0.003, 0.0)
    controller.costs.observe(alone, 1, 0.6, 0.0)
    assert 0.1 < controller.careful(6) < 1.0  # it is heeded, and six questions would not take 6 x 0.6 s or more


def test_it_never_goes_below_the_floor() -> None:
    controller = measured()
    assert controller.choose(1.0, [Demand(1_000, 0.01)]) is FAST
    assert [step.name for step in controller.steps] == ["top", "middle", "fast"]
    with pytest.raises(ConfigError, match="no rung keeps"):
        Controller([POOR], Steering())


def test_a_rung_that_earns_no_more_quality_a_second_than_a_better_one_is_passed_over() -> None:
    poor = Step(name="poor", quality=0.5, seconds=0.005)  # 6 ms a question for .5, where the middle one has .98 in 9
    last = Step(name="last", quality=0.4, seconds=0.0001)
    controller = Controller([TOP, MIDDLE, poor, last], Steering(floor=0.0, quiet=0.1))
    for _ in range(20):
        controller.costs.observe(TOP, 1, 0.021, 0.020)
    assert controller.choose(1.0, [Demand(12, 0.1)]) is last  # the poor one could answer them, too
    assert [controller.choose(1.1 + number, []) for number in range(2)] == [MIDDLE, TOP]
    for _ in range(200):
        controller.costs.observe(TOP, 1, 0.0201, 0.0001)  # all vectors are kept: whatever the rung, it is 20 ms
    assert controller.choose(9.0, [Demand(1_000, 0.01)]) is TOP
    assert controller.fastest is TOP  # whose wait says who is refused


def test_many_that_come_and_are_in_time_lower_nothing() -> None:
    controller = measured()
    for number in range(100):
        controller.arrived(1 + number / 100)
    assert controller.rate(2.0) == pytest.approx(63, abs=1)  # 100 a second for one time constant: 1 - 1/e of it
    assert controller.choose(2.0, [Demand(1, 0.1)]) is TOP
    assert controller.choose(2.1, [Demand(1, 0.1), Demand(8, 0.1)]) is MIDDLE  # once they wait


def test_it_steps_up_one_step_after_each_quiet_time_and_not_before() -> None:
    controller = measured(Steering(quiet=2.0))
    controller.choose(10.0, [Demand(1_000, 0.01)])
    said = [(moment, controller.choose(moment, [Demand(1, 0.1)])) for moment in (11.0, 11.9, 12.0, 13.9, 14.0)]
    assert [step.name for _, step in said] == ["fast", "fast", "middle", "middle", "top"]


def test_a_moment_of_load_begins_the_quiet_time_anew() -> None:
    controller = measured(Steering(quiet=2.0))
    controller.choose(10.0, [Demand(8, 0.1)])
    assert controller.choose(11.5, [Demand(8, 0.1)]) is MIDDLE
    assert controller.choose(13.0, [Demand(1, 0.1)]) is MIDDLE
    assert controller.choose(13.5, [Demand(1, 0.1)]) is TOP


def test_the_top_rung_is_back_within_ten_seconds_however_long_the_ladder() -> None:
    steps = [Step(name=str(number), quality=1.0, seconds=0.1 / (number + 1)) for number in range(30)]
    controller = Controller(steps, Steering(quiet=5.0))
    assert controller.choose(100.0, [Demand(1_000, 0.01)]).name == "29"
    assert controller.choose(105.0, []).name != "0"
    assert controller.choose(110.0, []).name == "0"  # nothing was asked meanwhile, and quiet counted all the same


def test_a_step_takes_less_than_a_millisecond() -> None:
    controller = measured(Steering(quiet=0.5))
    took = []
    for number in range(200):
        begun = time.perf_counter()
        controller.choose(float(number), [Demand(1_000 if number % 2 else 1, 0.1)] * 4)
        took.append(time.perf_counter() - begun)
    assert controller.current is FAST
    assert statistics.median(took) < 0.001


def test_wrong_options_are_refused() -> None:
    for wrong in ({"floor": 1.1}, {"quiet": 0.0}, {"margin": 0.0}):
        with pytest.raises(ConfigError, match="mend that"):
            Steering(**wrong)
