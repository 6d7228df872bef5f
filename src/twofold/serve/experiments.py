"""`Experiments`: which experiments run, and by which arm of each somebody's slates come.

What begins and stops an experiment are events, so that all workers know it at once and a restart changes nothing.
"""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec

from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.events import Assignment
from twofold.serve.wire import Arm

__all__ = ["RESERVED", "Assigned", "Experiment", "Experiments", "unit_of"]

RESERVED = "experiment/"
"""How the ids of the events begin: an experiment begins once and stops once, whoever says so how often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Arms that are compared on what is served; the first one is the control."""

    name: str
    arms: tuple[Arm, ...]
    started: int
    """Milliseconds since 1970 in UTC."""
    stopped: int | None = None

    @property
    def artifacts(self) -> frozenset[str]:
        """The folders of the artifacts by which arms answer, beside the promoted one."""
        return frozenset(arm.artifact for arm in self.arms if arm.artifact is not None)

    @property
    def varied(self) -> frozenset[str]:
        """What the arms change."""
        options = ("diversity", "artifact")
        return frozenset(name for name in options if any(getattr(arm, name) is not None for arm in self.arms))

    def arm_of(self, unit: str) -> Arm:
        """Return the arm of a unit, the same in every process and at every time.

        The hash of the unit, keyed with the name of the experiment, is a number u in [0, 1); the arm is the first whose
        share, added to those before it, exceeds u. Names that differ give numbers that are independent.

        >>> arms = (Arm(name="old", share=0.5), Arm(name="new", share=0.5))
        >>> [Experiment(name=name, arms=arms, started=0).arm_of("user ann").name for name in ("b", "c", "d")]
        ['new', 'old', 'old']
        """
        digest = blake2b(unit.encode(), key=self.name.encode(), digest_size=8).digest()
        place, edge = int.from_bytes(digest) / 2**64, 0.0
        for arm in self.arms[:-1]:
            edge += arm.share
            if place < edge:
                return arm
        return self.arms[-1]

    def begins(self) -> Event:
        """Return the event by which the experiment begins."""
        return Event(
            kind="experiment",
            experiment=self.name,
            attributes={"arms": msgspec.to_builtins(self.arms)},
            timestamp=self.started,
            id=f"{RESERVED}{self.name}",
        )

    def stops(self) -> Event:
        """Return the event by which the experiment stops."""
        return Event(kind="experiment-stopped", experiment=self.name, id=f"{RESERVED}{self.name}/stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """How a question is answered because of the experiments that run."""

    arms: tuple[Assignment, ...] = ()
    """The arms by which its slate counts."""
    diversity: float | None = None
    """For a question that asks for none of its own."""
    artifact: str | None = None
    """The folder of the artifact that answers; None for the promoted one."""


class Experiments:
    """All experiments that events told of.

    Args:
        events: those that are known to begin with; others are left out.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.known: dict[str, Experiment] = {}
        """By name, in the order in which they began."""
        self.running: tuple[Experiment, ...] = ()
        self._changing = threading.Lock()
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Take in what an event says of an experiment, if anything; once more changes nothing."""
        name = event.experiment
        if name is None:
            return
        with self._changing:
            found = self.known.get(name)
            if event.kind == "experiment" and found is None:
                arms = msgspec.convert((event.attributes or {})["arms"], tuple[Arm, ...])
                self.known[name] = Experiment(name=name, arms=arms, started=event.timestamp)
            elif event.kind == "experiment-stopped" and found is not None:
                self.known[name] = replace(found, stopped=event.timestamp)
            self.running = tuple(one for one in self.known.values() if one.stopped is None)

    def assign(self, unit: str | None, opened: Collection[str]) -> Assigned:
        """Return how the questions of a unit are answered.

        Args:
            unit: who asks, as `unit_of` has it; nobody in particular gets the control of each experiment, and does not
                count.
            opened: the folders of the artifacts that can answer in this process. An experiment that needs another one
                is left out, so that no slate counts for an arm that did not make it.
        """
        if not self.running:
            return NOTHING
        arms, diversity, artifact = [], None, None
        for experiment in self.running:
            if not all(folder in opened for folder in experiment.artifacts):
                continue
            arm = experiment.arms[0] if unit is None else experiment.arm_of(unit)
            diversity = arm.diversity if arm.diversity is not None else diversity
            artifact = arm.artifact if arm.artifact is not None else artifact
            if unit is not None:
                arms.append(Assignment(experiment=experiment.name, arm=arm.name, unit=unit, propensity=arm.share))
        return Assigned(arms=tuple(arms), diversity=diversity, artifact=artifact)


NOTHING = Assigned()


def unit_of(user: Id | None, session: Id | None) -> str | None:
    """Return what is assigned: the user, else the session, else nothing; 5 and "5" are one user.

    >>> unit_of(5, "x"), unit_of(None, "x"), unit_of(None, None)
    ('user 5', 'session x', None)
    """
    if user is not None:
        return f"user {user}"
    return None if session is None else f"session {session}"
