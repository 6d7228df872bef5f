"""Questions that wait, on a clock that only the work moves."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from twofold.core import Query
from twofold.core.errors import LateError
from twofold.core.rungs import Spent
from twofold.serve.asking import Answering, Questions
from twofold.serve.control import Controller, Steering, Step
from twofold.serve.gathering import AT_ONCE, PATIENCE, REFUSALS
from twofold.serve.kept import KeptSlates
from twofold.serve.metrics import Metrics
from twofold.serve.problems import Refusal

LADDER = [Step(name="large", quality=1.0, seconds=0.030), Step(name="small", quality=0.95, seconds=0.005)]
DEADLINES = {"interactive": 0.1, "standard": 2.0, "batch": 60.0}


class SpentRungs:
    """What the networks of a step took."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def take(self) -> Spent:
        return Spent(seconds=self._world.spent)


class World:
    """A server whose questions take what the ladder says, on its own clock; it works only while the gate is open."""

    def __init__(self, steps: Sequence[Step] = LADDER, *, brief: float = 0.0) -> None:
        self.now, self.gate = 0.0, threading.Event()
        self.gate.set()
        self.gos: list[list[str]] = []
        self.threads: list[str] = []
        self.rungs: list[str] = []
        self.metrics = Metrics()
        self.spent = 0.0
        self.stall = 0.0
        """Seconds that a go of several takes before its first stage."""
        rungs: Any = SpentRungs(self)
        self.controller = Controller(steps, Steering())
        by = Answering(SimpleNamespace(), self.controller, KeptSlates(0), {}, [rungs])  # type: ignore[arg-type]
        self.questions = Questions(
            self._answer,
            lambda: by,
            self.metrics,
            deadlines=DEADLINES,
            together=32,
            most=500,
            brief=brief,
            clock=lambda: self.now,
        )

    def _answer(self, _: Answering, step: Step, queries: Sequence[Query], until: float) -> list[Any]:
        self.gate.wait(30)
        self.now += self.stall if len(queries) > 1 else 0.0
        if self.now > until:
            raise LateError("too late")
        self.gos.append([query.text or "" for query in queries])
        self.rungs.append(step.name)
        self.threads.append(threading.current_thread().name)
        self.spent = len(queries) * step.seconds
        self.now += self.spent
        return [query.text for query in queries]

    def ask(self, name: str, **more: Any) -> "asyncio.Future[Any]":
        return asyncio.ensure_future(self.questions.do(Query(text=name, **more)))

    async def learn(self) -> None:
        """Answer a few questions one by one, so that costs are known."""
        for number in range(6):
            await self.ask(str(number), priority="batch")
        self.gos.clear()
        self.rungs.clear()
        self.threads.clear()


def played(play: Callable[[World], Awaitable[None]], *, brief: float = 0.0) -> World:
    async def run() -> World:
        world = World(brief=brief)
        try:
            await play(world)
        finally:
            world.gate.set()
            world.questions.close()
        return world

    return asyncio.run(run())


async def settled() -> None:
    """Let everything that can happen without the thread happen."""
    for _ in range(5):
        await asyncio.sleep(0)


def count(world: World, name: str, **labels: str) -> float:
    return world.metrics._registry.get_sample_value(name, labels) or 0.0


def test_who_waits_for_an_answer_comes_before_who_does_not() -> None:
    async def play(world: World) -> None:
        await world.learn()
        world.gate.clear()
        asked = [world.ask("first", priority="batch")]
        await settled()
        asked += [world.ask(f"b{number}", priority="batch") for number in range(40)]
        asked += [world.ask("now", priority="interactive"), world.ask("soon")]
        await settled()
        world.gate.set()
        await asyncio.gather(*asked)

    world = played(play)
    assert world.gos[0] == ["first"]
    order = [name for go in world.gos[1:] for name in go]
    assert order[0] == "now"
    assert order.index("soon") <= 2  # a standard question counts four of a batch
    assert [name for name in order if name.startswith("b")] == [f"b{number}" for number in range(40)]
    assert max(map(len, world.gos)) <= 10  # 50 ms of the faster rung: whoever comes next is still in time


def test_a_crowd_is_answered_by_the_smaller_rung_and_quiet_brings_the_larger_one_back() -> None:
    async def play(world: World) -> None:
        await world.learn()
        await asyncio.gather(*(world.ask(str(number), priority="interactive") for number in range(12)))
        assert "small" in world.rungs
        world.now += 10
        await world.ask("alone", priority="interactive")
        assert world.rungs[-1] == "large"

    world = played(play)
    assert count(world, "twofold_ladder_steps_total", direction="down") == 1
    assert count(world, "twofold_ladder_steps_total", direction="up") == 1


def test_what_could_not_be_answered_in_time_is_refused_at_once() -> None:
    async def play(world: World) -> None:
        await world.learn()
        world.gate.clear()
        asked = [world.ask("0", priority="standard")]
        await settled()
        asked += [world.ask(str(number), priority="standard") for number in range(1, 400)]
        await settled()
        refused = [future for future in asked if future.done()]
        assert 0 < len(refused) < 40  # with 5 ms each, 2 s are enough for 400 but for those behind a slow first one
        error = refused[0].exception()
        assert isinstance(error, Refusal)
        assert (error.status, error.headers) == (429, {"Retry-After": "1"})
        late = world.ask("late", deadline_ms=500.0)
        await settled()
        assert isinstance(late.exception(), Refusal)
        assert int(late.exception().headers["Retry-After"]) > 1
        soon = world.ask("soon", priority="interactive")
        await settled()
        assert not soon.done()  # those of lower priority do not keep it out
        world.gate.set()
        await asyncio.gather(*asked, late, return_exceptions=True)
        assert await soon == "soon"

    world = played(play)
    assert count(world, "twofold_questions_refused_total", priority="interactive") == 0


def test_as_long_as_refusals_are_held_back_no_rung_but_the_fastest_answers() -> None:
    async def play(world: World) -> None:
        await world.learn()
        await world.ask("free", priority="interactive")
        world.gate.clear()
        first = world.ask("first", priority="interactive")
        await settled()
        refused = [world.ask("hurried", priority="interactive", deadline_ms=0.001) for _ in range(3 * AT_ONCE)]
        await settled()
        assert 0 < sum(future.done() for future in refused) < len(refused)
        world.gate.set()
        await first
        await world.ask("soon after", priority="interactive")
        await asyncio.gather(*refused, return_exceptions=True)
        world.now += 1
        await world.ask("later", priority="interactive")

    assert played(play).rungs == ["large", "large", "small", "large"]


def test_a_deadline_that_passed_while_waiting_is_not_worked_on() -> None:
    async def play(world: World) -> None:
        world.gate.clear()  # nothing is known of costs yet, so nobody is refused early
        first = world.ask("first")
        await settled()
        second = world.ask("second", deadline_ms=20.0)
        await settled()
        world.gate.set()
        assert await first == "first"  # which took 30 ms
        with pytest.raises(Refusal, match="longer deadline_ms"):
            await second

    assert played(play).gos == [["first"]]


def test_a_go_that_became_late_is_given_up_for_those_that_wait() -> None:
    async def play(world: World) -> None:
        world.gate.clear()
        alone = world.ask("alone", deadline_ms=20.0)  # nobody waits: late is better than never
        await settled()
        rest = [world.ask(str(number), deadline_ms=50.0) for number in range(33)]
        await settled()
        world.stall = 0.1
        world.gate.set()
        assert await alone == "alone"
        found = await asyncio.gather(*rest, return_exceptions=True)
        assert all(isinstance(error, Refusal) and error.status == 429 for error in found)

    world = played(play)
    assert world.gos == [["alone"]]
    assert count(world, "twofold_questions_refused_total", priority="standard") == 33


def test_questions_of_callers_that_hung_up_are_dropped() -> None:
    async def play(world: World) -> None:
        world.gate.clear()
        first = world.ask("first")
        await settled()
        gone, last = world.ask("gone"), world.ask("last")
        await settled()
        gone.cancel()
        await settled()
        world.gate.set()
        await asyncio.gather(first, last)

    world = played(play)
    assert world.gos == [["first"], ["last"]]
    assert count(world, "twofold_questions_dropped_total") == 1


def test_what_is_brief_takes_no_thread() -> None:
    async def play(world: World) -> None:
        await world.learn()
        await world.ask("alone", priority="interactive")
        world.now += 10
        await asyncio.gather(*(world.ask(str(number), priority="interactive") for number in range(12)))

    world = played(play, brief=0.032)
    where = {len(go): thread for go, thread in zip(world.gos, world.threads, strict=True)}
    assert where[1] == threading.current_thread().name  # 30 ms
    assert where[9].startswith("questions")  # 45 ms


def test_what_nothing_is_known_of_takes_a_thread() -> None:
    async def play(world: World) -> None:
        await world.ask("unknown")

    assert played(play, brief=1.0).threads[0].startswith("questions")


def test_a_free_server_tries_whatever_its_figures_say() -> None:
    async def play(world: World) -> None:
        for _ in range(6):
            world.controller.costs.observe(LADDER[0], 1, 500.0, 500.0)
        assert world.controller.costs.known
        assert world.questions.predicted("interactive") > 10
        assert await world.ask("try", priority="interactive", deadline_ms=50.0) == "try"

    assert played(play).gos == [["try"]]


def test_a_flood_of_batches_does_not_delay_interactive_questions() -> None:
    """No inversion: with 200 of a batch waiting, each interactive question is in the very next go."""

    async def play(world: World) -> None:
        await world.learn()
        world.gate.clear()
        flood = [world.ask(f"b{number}", priority="batch") for number in range(200)]
        await settled()
        for number in range(5):
            before = len(world.gos)
            now = world.ask(f"i{number}", priority="interactive")
            await settled()
            world.gate.set()
            await now
            place = next(place for place, go in enumerate(world.gos) if f"i{number}" in go)
            assert place <= before + 1  # after what was being done when it came
            world.gate.clear()
        world.gate.set()
        await asyncio.gather(*flood)

    played(play)


def test_a_full_lane_does_not_close_the_others() -> None:
    async def play(world: World) -> None:
        world.gate.clear()
        flood = [world.ask("b", priority="batch")]
        await settled()
        flood += [world.ask(f"b{number}", priority="batch") for number in range(501)]
        now = world.ask("now", priority="interactive")
        await settled()
        refused = [future for future in flood if future.done()]
        assert [str(future.exception()) for future in refused] == [
            "too many requests wait already; try again in a second."
        ]
        assert not now.done()
        world.gate.set()
        await asyncio.gather(now, *flood, return_exceptions=True)
        assert now.result() == "now"

    played(play)


def test_refusals_that_follow_each_other_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who asks again at once when refused would leave the worker no time to answer anybody."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def play(world: World) -> None:
        await world.learn()
        world.gate.clear()
        world.ask("first")
        await settled()
        monkeypatch.setattr("twofold.serve.gathering.asyncio.sleep", sleep)
        for _ in range(200):
            with pytest.raises(Refusal):
                await world.questions.do(Query(text="hurried", deadline_ms=0.001))
        world.now += 10
        with pytest.raises(Refusal):
            await world.questions.do(Query(text="later", deadline_ms=0.001))

    played(play)
    assert len(waits) == 200 - AT_ONCE  # of those after a pause, none
    assert waits[:3] == pytest.approx([1 / REFUSALS, 2 / REFUSALS, 3 / REFUSALS])
    assert max(waits) == pytest.approx(min((200 - AT_ONCE) / REFUSALS, PATIENCE))
