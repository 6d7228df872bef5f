from collections import Counter

import pytest

from twofold.serve.lanes import Lanes, Priority, Waiting


def filled(now: float = 0.0, **counts: int) -> Lanes[int]:
    lanes: Lanes[int] = Lanes()
    for priority, count in counts.items():
        for number in range(count):
            lanes.push(Waiting(number, priority, now, now + 60))
    return lanes


def test_each_priority_gets_its_share_and_keeps_its_order() -> None:
    lanes = filled(interactive=64, standard=64, batch=64)
    taken = [lanes.pop(0.0) for _ in range(42)]  # two rounds of 16 + 4 + 1
    assert Counter(waiting.priority for waiting in taken) == {"interactive": 32, "standard": 8, "batch": 2}
    for priority in ("interactive", "standard", "batch"):
        numbers = [waiting.task for waiting in taken if waiting.priority == priority]
        assert numbers == list(range(len(numbers)))


def test_an_interactive_question_is_first_whatever_waits() -> None:
    lanes = filled(batch=1_000, standard=1_000)
    for _ in range(100):
        lanes.pop(0.0)
    lanes.push(Waiting(-1, "interactive", 0.0, 1.0))
    assert lanes.pop(0.0).task == -1


def test_a_lane_that_was_empty_has_saved_nothing_up() -> None:
    lanes = filled(interactive=200)
    for _ in range(100):
        lanes.pop(0.0)
    for number in range(50):
        lanes.push(Waiting(number, "batch", 0.0, 60.0))
    assert sum(lanes.pop(0.0).priority == "batch" for _ in range(34)) == 2  # one of 17, as ever


def test_who_waits_long_gets_more_but_never_overtakes_as_more_than_an_equal() -> None:
    young = filled(interactive=100, batch=100)
    assert sum(young.pop(0.0).priority == "batch" for _ in range(34)) == 2
    old = filled(interactive=100, batch=100)
    assert sum(old.pop(3.0).priority == "batch" for _ in range(100)) == 20  # shares 16 and 1 x (1 + 3)
    ancient = filled(interactive=100, batch=100)
    assert sum(ancient.pop(1e6).priority == "batch" for _ in range(100)) == 50


@pytest.mark.parametrize(("priority", "expected"), [("interactive", 0 + 1 / 4 + 1 / 16), ("standard", 4 + 1 / 4)])
def test_a_question_in_an_empty_lane_waits_for_its_fair_part_of_the_others(priority: Priority, expected: float) -> None:
    counts = {"interactive": 50, "standard": 50, "batch": 50, priority: 0}
    assert filled(**counts).ahead(priority) == expected


def test_a_prediction_is_what_happens() -> None:
    for priority in ("interactive", "standard", "batch"):
        lanes = filled(interactive=40, standard=40, batch=40)
        predicted = lanes.ahead(priority)
        lanes.push(Waiting(-1, priority, 0.0, 60.0))
        before = 0
        while lanes.pop(0.0).task != -1:
            before += 1
        assert before == pytest.approx(predicted, abs=3)


def test_nothing_comes_of_nothing() -> None:
    with pytest.raises(IndexError, match="nothing waits"):
        Lanes().pop(0.0)
