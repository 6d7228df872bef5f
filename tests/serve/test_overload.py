"""Open-loop overload, simulated: questions come whether or not the last ones were answered, in clumps."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from twofold.serve.control import Controller, Demand, Steering, Step

DEADLINE = 0.1
REST, START = 0.0005, 0.001
"""Seconds of a question, and of a go, that no rung changes."""
LADDER = [
    Step(name="full", quality=1.0, seconds=0.0095),
    Step(name="half", quality=0.99, seconds=0.0045),
    Step(name="quarter", quality=0.97, seconds=0.0020),
    Step(name="static", quality=0.92, seconds=0.0003),
]
CAPACITY = 1 / (LADDER[0].seconds + REST)
"""Questions a second that the top rung can answer, in large goes."""


def arrivals(rng: np.random.Generator, seconds: float = 60.0) -> np.ndarray:
    """Moments at gamma-distributed distances whose spread is 4 times their mean; the rate swings from 0.2 to 3 times
    the top rung's capacity and back, once."""
    now, moments = 0.0, []
    while now < seconds:
        rate = CAPACITY * (1.6 - 1.4 * np.cos(2 * np.pi * now / seconds))
        now += rng.gamma(1 / 16, 16 / rate)
        moments.append(now)
    return np.array(moments)


@dataclass
class Outcome:
    sent: int
    qualities: Mapping[str, float]
    answered: Counter[str] = field(default_factory=Counter)
    """Questions answered in time, by rung."""
    late: int = 0
    refused: int = 0
    last: str = ""

    @property
    def effective(self) -> float:
        """The quality of answers in time, over all that was sent."""
        return sum(self.qualities[name] * count for name, count in self.answered.items()) / self.sent

    @property
    def in_time(self) -> float:
        return self.answered.total() / self.sent


def simulate(
    steps: list[Step], moments: np.ndarray, rng: np.random.Generator, wrong: Mapping[str, float] | None = None
) -> Outcome:
    """Let one server answer, as `Questions` does: gather what waits, for half a deadline at most; refuse early.

    `wrong` is how much dearer a rung is than its ladder says.
    """
    wrong = wrong or {}
    controller = Controller(steps, Steering(floor=0.0))
    outcome = Outcome(len(moments), {step.name: step.quality for step in steps})
    waiting: deque[float] = deque()
    now, coming = 0.0, deque(moments.tolist())
    until, going, step = 0.0, 0, steps[0]
    while coming or waiting:
        if not waiting:
            now = max(now, coming[0])
        # Everything that came while the last go was being done was judged when it came.
        while coming and coming[0] <= now:
            moment = coming.popleft()
            controller.arrived(moment)
            rest = min(controller.seconds(going, step), max(until - moment, 0.0))
            if moment < until and rest + controller.careful(len(waiting) + 1) > DEADLINE:
                outcome.refused += 1
            else:
                waiting.append(moment)
        while waiting and waiting[0] + DEADLINE <= now:
            waiting.popleft()
            outcome.late += 1
        if not waiting:
            continue
        most = min(32, controller.fitting(DEADLINE / 2, waiting[0] + DEADLINE - now))
        go = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        demands = [Demand(len(go), go[0] + DEADLINE - now)]
        if waiting:
            demands.append(Demand(len(go) + len(waiting), waiting[-1] + DEADLINE - now))
        step = controller.choose(now, demands)
        encoding = len(go) * step.seconds * wrong.get(step.name, 1.0) * rng.lognormal(0.0, 0.15)
        seconds = encoding + len(go) * REST + START
        going, until = len(go), now + seconds
        controller.costs.observe(step, len(go), seconds, encoding)
        in_time = sum(until <= moment + DEADLINE for moment in go)
        outcome.answered[step.name] += in_time
        outcome.late += len(go) - in_time
        now = until
    outcome.last = controller.choose(now + 10.0, []).name
    return outcome


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_controller_serves_more_quality_than_any_fixed_rung(seed: int) -> None:
    moments = arrivals(np.random.default_rng(seed))
    steered = simulate(LADDER, moments, np.random.default_rng(seed))
    fixed = {step.name: simulate([step], moments, np.random.default_rng(seed)) for step in LADDER}
    assert steered.effective > 0.94
    assert steered.effective > max(outcome.effective for outcome in fixed.values()) + 0.015
    assert steered.in_time >= 0.99
    assert steered.answered.total() / fixed["full"].answered.total() > 2.5  # of 2.6 that were sent
    assert fixed["full"].sent - fixed["full"].answered.total() > 10 * (steered.sent - steered.answered.total())
    assert steered.last == "full"  # ten seconds later


@pytest.mark.parametrize("seed", [0, 1])
def test_to_refuse_some_is_preferred_to_a_rung_that_is_worth_less_a_second(seed: int) -> None:
    """A third of the quality for nine tenths of the time: better answer nine of ten well than all of them badly."""
    moments = arrivals(np.random.default_rng(seed), 30.0)
    poor = Step(name="poor", quality=0.33, seconds=LADDER[1].seconds * 0.9)
    found = [
        simulate(steps, moments, np.random.default_rng(seed)) for steps in ([*LADDER[:2], poor], LADDER[:2], [poor])
    ]
    assert "poor" not in found[0].answered
    assert found[0].effective == pytest.approx(found[1].effective, abs=0.01)
    assert found[0].effective > found[2].effective + 0.3


def test_what_is_not_refused_is_in_time_even_with_a_rung_that_is_too_slow() -> None:
    moments = arrivals(np.random.default_rng(3))
    alone = simulate(LADDER[:1], moments, np.random.default_rng(3))
    assert alone.late < 0.01 * alone.answered.total()
    assert alone.refused + alone.late + alone.answered.total() == alone.sent


def test_a_ladder_that_is_wrong_about_its_rungs_is_found_out() -> None:
    """Made on a busy machine, or with other texts: the lower rungs are faster, as against the top one, than it says."""
    wrong = {"half": 0.6, "quarter": 0.4, "static": 0.15}
    claimed = [replace(step, seconds=step.seconds / wrong.get(step.name, 1.0)) for step in LADDER]
    found = [
        simulate(claimed, arrivals(np.random.default_rng(seed), 30.0), np.random.default_rng(seed), wrong)
        for seed in (0, 1)
    ]
    assert np.mean([outcome.effective for outcome in found]) > 0.945
    assert sum(outcome.late + outcome.refused for outcome in found) < 0.003 * sum(outcome.sent for outcome in found)
