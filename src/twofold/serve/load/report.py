"""`Report`: what became of the questions of a trace, by phase and by priority."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.serve.lanes import PRIORITIES, Priority
from twofold.serve.load.arrivals import Moments, Trace
from twofold.serve.load.caches import Caches, hit_rates
from twofold.serve.load.questions import Question
from twofold.serve.load.sending import Answers

__all__ = ["LATE", "NO_RUNG", "Report", "Summary"]

NO_RUNG = "none"
"""What is said of answers that needed no encoder, or came from a server without a ladder."""
LATE = 0.005
"""Seconds after which a question went out late."""

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of some questions; shares are of those that were sent, and None is what nothing can be said of."""

    sent: int
    in_time: float | None
    """The share that was answered before its deadline: attainment."""
    of_admitted: float | None
    """The same share of those that were not refused."""
    refused: float | None
    late: float | None
    failed: float | None
    """No answer, or another error than a refusal."""
    quality: float | None
    """Mean quality of the rungs that answered in time, as a share of the top rung's."""
    effective: float | None
    """Mean quality over all that were sent, where an answer that is late or missing has none."""
    goodput: float
    """Answers in time a second."""
    p50: float | None
    """Milliseconds from when a question was due to its answer, late answers included."""
    p99: float | None
    p999: float | None
    rungs: dict[str, float]
    """Of the answers in time, the share of each rung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A trace, what was asked, and what became of it."""

    trace: Trace
    questions: Sequence[Question]
    answers: Answers
    deadlines: Mapping[Priority, float]
    """Milliseconds, by priority."""
    qualities: Mapping[str, float]
    """Of the rungs of the server's ladder, as shares of the top rung's; the best first."""
    caches: Caches
    """How often the server had kept what it needed, during the trace; empty where it does not say."""

    @property
    def latencies(self) -> Moments:
        """Seconds from when each question was due to its answer; NaN where there is none."""
        return self.answers.answered - self.answers.due

    @property
    def in_time(self) -> Rows:
        """Which questions were answered in time."""
        deadline = np.array([self.deadlines[question.priority] for question in self.questions])
        return np.asarray(self.latencies * 1000 <= deadline)  # NaN is not

    @property
    def quality(self) -> Moments:
        """The quality of each answer; 0 where none came in time."""
        own = np.array([1.0 if rung is None else self.qualities.get(rung, 1.0) for rung in self.answers.rungs])
        return np.where(self.in_time, own, 0.0)

    @property
    def lateness(self) -> Moments:
        """Seconds from when each question was due to when it went out, for those that did."""
        late = self.answers.sent - self.answers.due
        found: Moments = late[~np.isnan(late)]
        return found

    @property
    def hit_rates(self) -> dict[str, float]:
        """The share of the slates that the server had kept, and of the vectors of texts for those that it had not."""
        return hit_rates(self.caches)

    @property
    def processor(self) -> float | None:
        """Milliseconds of a core that asking one question took, here."""
        return self.answers.processor * 1000 / len(self.questions) if len(self.questions) else None

    def groups(self) -> dict[str, Summary]:
        """Return what became of all, and where there are several, of each phase and of each priority."""
        due, everything = self.answers.due, np.ones(len(self.questions), bool)
        found = {"all": self.summary(everything, self.trace.seconds)}
        phases = self.trace.phases()
        for phase in phases if len(phases) > 1 else ():
            rows = (due >= phase.begin) & (due < phase.end)
            found[phase.name] = self.summary(rows, phase.end - phase.begin)
        priorities = np.array([question.priority for question in self.questions])
        asked = [priority for priority in PRIORITIES if (priorities == priority).any()]
        for priority in asked if len(asked) > 1 else ():
            found[priority] = self.summary(priorities == priority, self.trace.seconds)
        return found

    def summary(self, rows: Rows, seconds: float) -> Summary:
        """Return what became of some questions, which came within so many seconds."""
        sent, status, in_time = int(rows.sum()), self.answers.status[rows], self.in_time[rows]
        latencies, quality = self.latencies[rows], self.quality[rows]
        latencies = latencies[~np.isnan(latencies)] * 1000
        good, refused = int(in_time.sum()), int((status == 429).sum())
        named = [self.answers.rungs[place] or NO_RUNG for place in np.flatnonzero(rows & self.in_time)]
        used = Counter(named)

        def share(count: float, of: int = sent) -> float | None:
            return float(count) / of if of else None

        def percentile(level: float) -> float | None:
            return float(np.percentile(latencies, level)) if len(latencies) else None

        return Summary(
            sent=sent,
            in_time=share(good),
            of_admitted=share(good, sent - refused),
            refused=share(refused),
            late=share(len(latencies) - good),
            failed=share(sent - refused - len(latencies)),
            quality=share(quality.sum(), good),
            effective=share(quality.sum()),
            goodput=good / seconds,
            p50=percentile(50),
            p99=percentile(99),
            p999=percentile(99.9),
            rungs={name: used[name] / good for name in [*self.qualities, NO_RUNG] if used[name]},
        )

    def warnings(self) -> list[str]:
        """Return what is to be known before the figures are believed."""
        told, late = [], self.lateness
        if len(late) and float(np.percentile(late, 99)) > LATE:
            slow = np.percentile(late, 99) * 1000
            told.append(
                f"this machine sent late: one question in a hundred went out {slow:.0f} ms or more after it was due, "
                "which counts as latency; send from another machine, or less."
            )
        told += [f"{count:,} × {problem}" for problem, count in self.answers.problems.most_common(5)]
        return told

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        late = self.lateness * 1000
        return {
            "trace": asdict(self.trace),
            "deadlines": dict(self.deadlines),
            "qualities": dict(self.qualities),
            "groups": {name: asdict(summary) for name, summary in self.groups().items()},
            "hit rates": self.hit_rates,
            "sender": {
                "milliseconds a question": self.processor,
                "late, p99 milliseconds": float(np.percentile(late, 99)) if len(late) else None,
                "late, most milliseconds": float(late.max()) if len(late) else None,
            },
            "problems": dict(self.answers.problems),
        }
