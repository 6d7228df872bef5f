"""`Questions`: the questions that wait: who is next, who cannot be answered in time, and which rung answers."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from twofold.core.errors import LateError
from twofold.core.query import Query
from twofold.core.rungs import Rungs
from twofold.core.slate import Slate
from twofold.serve.control import Controller, Demand, Step
from twofold.serve.gathering import Gatherer
from twofold.serve.kept import KeptSlates
from twofold.serve.lanes import PRIORITIES, Lanes, Priority, Waiting
from twofold.serve.live import Live, Stamp
from twofold.serve.metrics import Metrics
from twofold.serve.problems import Refusal
from twofold.serve.rungs import CachedRungs

__all__ = ["Answering", "Questions"]

BRIEF = 0.01
"""Seconds of a go that the thread of the event loop does itself. To hand a question over and back takes a third of a
millisecond where little is asked, and then both threads want the interpreter."""

Asked = tuple[Query, "asyncio.Future[Slate]"]
Answer = Callable[["Answering", Step, Sequence[Query], float], Sequence[Slate | Exception]]


@dataclass(frozen=True, slots=True)
class Answering:
    """What answers: an artifact, and what steers it."""

    live: Live
    controller: Controller
    kept: KeptSlates
    searchers: Mapping[str, CachedRungs] = field(default_factory=dict)
    """The encoders of search texts, by their names in the recipe."""
    ladder: Sequence[Rungs] | None = None
    """What runs in the stages that the controller's steps set; None where there is no ladder."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """The artifact's manifest."""

    def own(self, step: Step) -> Step:
        """Return the step of its own ladder with the name of another one's, else the one in use."""
        return next((own for own in self.controller.steps if own.name == step.name), self.controller.current)

    def find(self, query: Query, stamp: Stamp, step: Step) -> Slate | None:
        """Return a slate that was kept, if it is what would be answered now, or better."""
        return self.kept.find(query, stamp, self.own(step).quality)

    def keep(self, query: Query, stamp: Stamp, slate: Slate) -> None:
        """Keep a slate; its stamp is of before it was made."""
        made = next((step.quality for step in self.controller.steps if step.name == slate.rung), 1.0)
        self.kept.put(query, stamp, made, slate, heeds=self.live.pipeline.heeds(query, slate))

    def signed(self, slate: Slate, query: Query, step: Step) -> Slate:
        """Return a slate that says which step made it; a better one, where a better rung's vector was kept."""
        settings = dict(step.settings)
        if query.text is not None:
            for name in settings.keys() & self.searchers.keys():
                settings[name] = replace(settings[name], rung=self.searchers[name].of(query.text))
        same = (other.name for other in self.controller.steps if other.settings == settings)
        return replace(slate, rung=next(same, step.name), settings=settings)


@dataclass(slots=True)
class Go:
    """Questions that are answered together, and what that took."""

    by: Answering
    step: Step
    count: int
    until: float
    """When no further stage begins any more."""
    seconds: float = 0.0
    networks: float = 0.0
    hits: int = 0
    misses: int = 0
    begun: float = field(default=0.0)


class Questions(Gatherer[Query, Slate]):
    """Answers questions, as many together as the nearest deadline lets: in one thread, or in the loop's own if brief.

    Args:
        answer: answers questions by what answers now, at a step of its ladder, until a time by which all are late.
        by: returns what answers now.
        metrics: told of waiting, refusals and rungs.
        deadlines: seconds within which each priority is to be answered, where a question names no deadline.
        together: how many are answered in one go at most.
        most: how many of one priority may wait.
        brief: seconds below which a go is not worth a thread.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        answer: Answer,
        by: Callable[[], Answering],
        metrics: Metrics,
        *,
        deadlines: Mapping[Priority, float],
        together: int,
        most: int,
        brief: float = BRIEF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(self._timed, name="questions", together=together, most=most, clock=clock)
        self._answer, self._by, self._metrics = answer, by, metrics
        self._deadlines, self._brief = deadlines, brief
        self._lanes: Lanes[Asked] = Lanes()
        self._go: Go | None = None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._lanes)

    def predicted(self, priority: Priority) -> float:
        """Return in how many seconds a question that comes now would be answered, by the fastest rung."""
        controller = self._by().controller
        return self._running() + controller.careful(self._lanes.ahead(priority) + 1)

    async def do(self, task: Query) -> Slate:
        """Have a question answered.

        Raises:
            Refusal: too many wait, or it could not be answered in time.
        """
        now, controller = self._clock(), self._by().controller
        if task.priority != "batch":
            controller.arrived(now)
        slack, wait = self._slack(task), self.predicted(task.priority)
        # A free server tries whatever its figures say: else a slow moment would keep it from ever measuring anew.
        if self.busy and controller.costs.known and wait > slack:
            await self.refuse(self._late(task.priority, wait - slack))
        return await super().do(task)

    def step(self) -> Step:
        """Return the step that answers now; quiet counts also where nothing is asked."""
        controller = self._by().controller
        idle = not self.busy and controller.current is not controller.steps[0]
        return controller.choose(self._clock(), []) if idle else controller.current

    def _slack(self, query: Query) -> float:
        return self._deadlines[query.priority] if query.deadline_ms is None else query.deadline_ms / 1000

    def _late(self, priority: Priority, seconds: float) -> Refusal:
        self._metrics.refused.labels(priority).inc()
        return Refusal(
            429,
            "more is asked than can be answered in time; try again later, or give a longer deadline_ms.",
            {"Retry-After": str(max(1, math.ceil(seconds)))},
        )

    def _running(self) -> float:
        """Return how long the go that is being done will still take."""
        if self._go is None:
            return 0.0
        expected = self._go.by.controller.seconds(self._go.count, self._go.step)
        return max(expected - (self._clock() - self._go.begun), 0.0)

    def _ahead_of(self, task: Query) -> int:
        """See `Gatherer`: a crowd of one priority does not keep the others out."""
        return self._lanes.count(task.priority)

    def _is_brief(self) -> bool:
        """See `Gatherer`."""
        if (go := self._go) is None or not go.by.controller.costs.known:
            return False
        return go.by.controller.seconds(go.count, go.step) < self._brief

    def _push(self, task: Query, future: "asyncio.Future[Slate]") -> None:
        now = self._clock()
        self._lanes.push(Waiting((task, future), task.priority, now, now + self._slack(task)))

    def _take(self) -> list[Asked]:
        now, by = self._clock(), self._by()
        # What comes while a go is being done must still be in time; a go takes half the shortest deadline at most.
        most, half = self._together, min(self._deadlines.values()) / 2
        taken: list[Waiting[Asked]] = []
        while len(taken) < most and len(self._lanes):
            waiting = self._lanes.pop(now)
            _, future = waiting.task
            if future.done():  # whoever asked hung up
                self._metrics.dropped.inc()
            elif waiting.until <= now:
                future.set_exception(self._late(waiting.priority, 0.0))
            else:
                taken.append(waiting)
                if by.controller.costs.known:
                    most = min(most, by.controller.fitting(half, waiting.until - now))
        if not taken:
            self._go = None
            return []
        for waiting in taken:
            self._metrics.waited.labels(waiting.priority).observe(now - waiting.since)
        before = by.controller.current
        step = by.controller.choose(now, self._demands(taken, now))
        if step is not before:
            self._metrics.steps.labels("down" if step.quality < before.quality else "up").inc()
        # Where nobody else waits, a late answer is better than none, as when the first ones are slow.
        until = max(waiting.until for waiting in taken) if len(self._lanes) else math.inf
        self._go = Go(by, step, len(taken), until, begun=now)
        return [waiting.task for waiting in taken]

    def _demands(self, taken: Sequence[Waiting[Asked]], now: float) -> list[Demand]:
        """Return the questions that are hardest to answer in time: of this go, and the last of each lane.

        Whoever is held back with a refusal will ask again; as long as somebody is, no rung but the fastest will do.
        """
        demands = [Demand(len(taken), min(waiting.until for waiting in taken) - now)]
        if self._held:
            demands.append(Demand(math.inf, 0.0))
        for priority in PRIORITIES:
            last = self._lanes.last(priority)
            if last is not None:
                ahead = self._lanes.ahead(priority, self._lanes.count(priority) - 1)
                demands.append(Demand(len(taken) + ahead + 1, last.until - now))
        return demands

    def _timed(self, queries: Sequence[Query]) -> Sequence[Slate | Exception]:
        """Answer a go in the thread, and note what it took."""
        go = self._go
        assert go is not None
        begun = self._clock()
        try:
            return self._answer(go.by, go.step, queries, go.until)
        except LateError:
            return [self._late(query.priority, 0.0) for query in queries]
        finally:
            go.seconds = self._clock() - begun
            climbing = go.by.ladder or ()
            for rungs in {*go.by.searchers.values(), *climbing}:
                spent = rungs.take()
                go.hits, go.misses = go.hits + spent.hits, go.misses + spent.misses
                if rungs in climbing:
                    go.networks += spent.seconds

    def _finish(self, batch: Sequence[Asked], results: Sequence[Slate | Exception]) -> None:
        if (go := self._go) is not None:
            go.by.controller.costs.observe(go.step, go.count, go.seconds, go.networks)
            self._metrics.vectors.labels("hit").inc(go.hits)
            self._metrics.vectors.labels("miss").inc(go.misses)
            if go.by.ladder is not None:
                self._metrics.rungs.labels(go.step.name).inc(go.count)
        self._go = None
        super()._finish(batch, results)
