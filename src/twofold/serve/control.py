"""`Controller`: which rung of a ladder answers now, and how long questions would take. Logic alone, on a given clock.

Questions that are answered together in one go cost seconds = each x (start + count) + factor x own x table x count.
`table` is what the ladder says of a rung, `own` how far it is wrong about this one (other texts, more of them at once),
`factor` how much dearer all rungs are now (other load, questions without a text, kept vectors), `each` what another
question costs whatever the rung, and `start` how many questions' worth a go costs by itself. `each` and `factor` are
running means of what is measured; `own` comes of the first goes after a step, since `factor` was right a moment before;
`start` comes of a slower regression of seconds on counts. A high quantile of measured over predicted seconds says how
far a go may be above the mean.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twofold.core.errors import ConfigError
from twofold.core.ladder import Setting

__all__ = ["Controller", "Costs", "Demand", "Steering", "Step"]

WINDOW = 64
"""Goes whose measured over predicted seconds give the high quantile."""
HIGH = 0.95
MEMORY = 0.15
"""The weight of a new go in the running means."""
WARM = 5
"""Goes after which what was measured is believed; the first are slow, and are soon forgotten."""
STALL = 10.0
"""How many times its predicted seconds a go counts for at most. One that stood still, as while another artifact is
opened, says nothing of the next; taken at its word it would have questions refused that are answered at once."""
SLOWLY = 0.02
"""The same for what a go costs by itself, which only goes of several sizes can tell."""
TURN, OWN = 3, 0.2
"""Goes after a step that tell how far the ladder is wrong about a rung, as against the others, and their weight."""
SPREAD = 0.5
"""The variance of counts that tells it."""
WRONG = 16.0
"""How far it can be at most; where all vectors were kept, what a text costs says nothing."""
GO = 16
"""Questions of a go, where many wait."""
RATE_SECONDS = 1.0
"""Over how long the rate of arrivals is averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of the ladder that a server climbs, as the controller sees it."""

    name: str
    quality: float
    """A share of the top rung's."""
    seconds: float
    """Of a query, as the ladder says."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """What it sets, by the names of stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """How a controller steers.

    Raises:
        ConfigError: an option is out of range.
    """

    floor: float = 0.9
    """The share of the top rung's quality below which no rung is used."""
    quiet: float = 0.03
    """Seconds in which a better rung would have done, before one step up; shorter where there are many rungs."""
    recovery: float = 9.0
    """Seconds of quiet after which the top rung answers again."""
    margin: float = 0.8
    """The share of what is left until a deadline that is planned with."""

    def __post_init__(self) -> None:
        if not (0 <= self.floor <= 1 and self.quiet > 0 and self.recovery > 0):
            raise ConfigError("a quality floor is 0 to 1, and times are above 0; mend that.")
        if not 0 < self.margin <= 1:
            raise ConfigError("margin is above 0 to 1; mend that.")


@dataclass(frozen=True, slots=True)
class Demand:
    """A question that waits, or is being chosen for."""

    ahead: float
    """Questions that are done before it or with it, itself included."""
    slack: float
    """Seconds until it must be answered."""


class Costs:
    """What questions cost, as measured."""

    def __init__(self) -> None:
        self.each, self.start, self.factor, self._seen = 0.0, 0.0, 1.0, 0
        self._own: dict[str, float] = {}
        self._last, self._turned = "", 0
        self._high = 1.0
        self._usual, self._told = 1.0, 0
        self._ratios: deque[float] = deque(maxlen=WINDOW)
        self._mean_count = self._mean_units = self._variance = self._covariance = 0.0

    @property
    def known(self) -> bool:
        """Whether enough was measured to refuse a question for it."""
        return self._seen >= WARM

    @property
    def high(self) -> float:
        """The high quantile of measured over predicted seconds of a go, at least 1."""
        return self._high

    def of(self, step: Step, count: float = 1) -> float:
        """Return the mean seconds in which so many questions are answered, in as many goes as that takes."""
        return self.each * self.start * max(1.0, count / GO) + self.another(step) * count

    def another(self, step: Step) -> float:
        """Return the seconds that one more question adds to a go."""
        return self.each + self.factor * self._own.get(step.name, 1.0) * step.seconds

    def fitting(self, step: Step, seconds: float) -> int:
        """Return how many questions one go answers in a time; at least one."""
        another = max(self.another(step), 1e-9)
        return max(1, int((seconds - self.each * self.start) / another))

    def observe(self, step: Step, count: int, seconds: float, encoding: float) -> None:
        """Take in a go.

        Args:
            step: the rung that was used.
            count: how many questions it answered.
            seconds: how long it took.
            encoding: how much of that the rung took.
        """
        expected = self.each * self.start + self.another(step) * count
        if self.known and expected > 0:
            seconds = min(seconds, STALL * expected)
            encoding = min(encoding, seconds)
            self._ratios.append(seconds / expected)
            ordered = sorted(self._ratios)
            self._high = max(1.0, ordered[min(len(ordered) - 1, int(HIGH * len(ordered)))])
        rest = max(seconds - encoding, 0.0)
        self._learn_start(count, rest)
        weight = MEMORY if self._seen >= WARM else 0.5 if self._seen else 1.0
        self._seen += 1
        self.each += weight * (rest / (self.start + count) - self.each)
        if step.seconds > 0:
            self._learn_rung(step, encoding / count / step.seconds, weight)

    def _learn_rung(self, step: Step, found: float, weight: float) -> None:
        """Take in how much dearer a rung was than the ladder says."""
        own = self._own.get(step.name, 1.0)
        if step.name != self._last:
            self._turned, self._last = TURN if self.known else 0, step.name
        if self._turned and self.factor > 0:
            self._turned -= 1
            self._own[step.name] = min(max(own + OWN * (found / self.factor - own), 1 / WRONG), WRONG)
        else:
            self.factor += weight * (found / own - self.factor)

    def _learn_start(self, count: int, seconds: float) -> None:
        """Regress seconds on counts, in units of `each`, so that a machine that slows down is no sign of anything.

        Goes of the size that is usual now tell nothing of it, and must not let it be forgotten.
        """
        unusual = abs(count - self._usual) >= 1
        self._usual += MEMORY * (count - self._usual)
        if not unusual or self.each < 1e-9:
            return
        self._told += 1
        weight = max(SLOWLY, 1 / self._told)
        more, longer = count - self._mean_count, seconds / self.each - self._mean_units
        self._mean_count += weight * more
        self._mean_units += weight * longer
        self._variance = (1 - weight) * (self._variance + weight * more * more)
        self._covariance = (1 - weight) * (self._covariance + weight * more * longer)
        if self._variance > SPREAD and self._mean_units > 0:
            mean = self._mean_units / self._mean_count
            slope = min(max(self._covariance / self._variance, 0.1 * mean), mean)
            self.start = self._mean_units / slope - self._mean_count


class Controller:
    """Picks the best rung whose predicted latency meets the deadlines at the present load.

    It steps down at once, as far as needed, and up one step after each quiet time. A step is a change of an index.
    Only what waits counts, not how much comes: where more comes than a rung can answer, and less than the next one can,
    the two take turns, and quality lies between theirs. A rung that earns no more quality a second than a better one is
    passed over: with the better one, the share that it answers is worth more than all are with the worse one, and the
    rest is refused.

    Sources: Romero et al., "INFaaS" (USENIX ATC 2021) and Khare et al., "SuperServe" (NSDI 2025), for choosing a
    variant by the slack that is left.

    Args:
        steps: the rungs, the best and slowest first.
        steering: how it steers.
        now: seconds of the clock.

    Raises:
        ConfigError: there is no rung, or none reaches the floor.
    """

    def __init__(self, steps: Sequence[Step], steering: Steering, *, now: float = 0.0) -> None:
        self.steps = [step for step in steps if step.quality >= steering.floor]
        if not self.steps:
            raise ConfigError(f"no rung keeps {steering.floor:.0%} of the quality; lower the floor or add a rung.")
        self.costs, self._steering, self._index = Costs(), steering, 0
        self._worth = list(range(len(self.steps)))
        self._quiet = min(steering.quiet, steering.recovery / max(len(self.steps) - 1, 1))
        self._since, self._rate, self._rated = now, 0.0, now

    @property
    def current(self) -> Step:
        """The rung that answers."""
        return self.steps[self._index]

    @property
    def fastest(self) -> Step:
        """The last rung that may answer, and that is worth it."""
        return self.steps[self._worth[-1]]

    def arrived(self, now: float) -> None:
        """Count a question that came and wants an answer soon."""
        self._decay(now)
        self._rate += 1 / RATE_SECONDS

    def rate(self, now: float) -> float:
        """Return how many questions come a second."""
        self._decay(now)
        return self._rate

    def seconds(self, count: float, step: Step | None = None) -> float:
        """Return how long so many questions will take; by the fastest rung, unless another is named."""
        return self.costs.of(step or self.fastest, count)

    def careful(self, count: float) -> float:
        """Return how long so many questions may take by the fastest rung, if one of their goes is a slow one."""
        return self._careful(self.fastest, count)

    def fitting(self, seconds: float, slack: float) -> int:
        """Return how many questions belong into the next go; at least one.

        Args:
            seconds: what a go should take at most.
            slack: until when the first of them must be answered; the fastest rung may be taken for it.
        """
        if self.current is not self.fastest:
            seconds /= 2  # else those who come in a crowd meanwhile would wait too long
        careful = slack * self._steering.margin / self.costs.high
        return min(self.costs.fitting(self.current, seconds), self.costs.fitting(self.fastest, careful))

    def choose(self, now: float, demands: Sequence[Demand]) -> Step:
        """Return the rung for the next go, which is the current one from now on.

        Args:
            now: seconds of the clock, not before the last ones.
            demands: the questions that are hardest to answer in time.
        """
        self._decay(now)
        self._worth = self._worthwhile()
        self._index = max(place for place in self._worth if place <= self._index)
        wanted = self._wanted(demands)
        if wanted > self._index:
            self._index, self._since = wanted, now
        elif wanted == self._index:
            self._since = now  # the step above would not do now
        while self._index and now - self._since >= self._quiet:
            self._index = max(place for place in self._worth if place < self._index)
            self._since += self._quiet
        return self.current

    def _wanted(self, demands: Sequence[Demand]) -> int:
        """Return the index of the best rung that does; else the last that is worth it."""
        for index in self._worth[:-1]:
            step = self.steps[index]
            if all(self._careful(step, each.ahead) <= each.slack * self._steering.margin for each in demands):
                return index
        return self._worth[-1]

    def _worthwhile(self) -> list[int]:
        """Return the indices of the rungs that earn more quality a second than each better one, at present costs."""
        kept, most = [0], self._earned(self.steps[0])
        for index, step in enumerate(self.steps[1:], 1):
            if (earned := self._earned(step)) > most:
                kept, most = [*kept, index], earned
        return kept

    def _earned(self, step: Step) -> float:
        """Return the quality a second of a rung that costs what the ladder says as against the others.

        What it was found to cost does not count: one that was tried in a slow moment, and taken for too dear to be
        worth it, would never be tried again.
        """
        return step.quality / max(self.costs.each + self.costs.factor * step.seconds, 1e-9)

    def _careful(self, step: Step, count: float) -> float:
        return self.costs.of(step, count) + (self.costs.high - 1) * self.costs.of(step, min(count, GO))

    def _decay(self, now: float) -> None:
        if now > self._rated:
            self._rate *= math.exp((self._rated - now) / RATE_SECONDS)
            self._rated = now
