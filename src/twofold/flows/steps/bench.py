"""`Bench`: measures a pipeline at settings of its stages: how good its slates are, and how long a query takes."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import fmean, median
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from twofold.compress.measure import Rounds, Timing, in_turns
from twofold.core.errors import DataError
from twofold.core.ladder import Setting
from twofold.core.pipeline import Pipeline
from twofold.core.query import Query
from twofold.core.rungs import Rungs, apply_settings
from twofold.evaluate import accuracy, bootstrap_interval
from twofold.flows.steps.questions import K, Kind, Questions

__all__ = ["Bench", "Cost", "Part", "Settings", "Worth"]

Settings = Mapping[str, Setting]
Part = Literal["choose", "report"]
"""Choices are made on one half of the questions, what is told is measured on the other."""
TOGETHER = 64
"""Questions that are ranked at once where only their answers count."""
SHARES: dict[Part, float] = {"choose": 1 / 24, "report": 1 / 8}
"""The share of the time for all in which the pipeline as it was fitted answers a part's questions."""
LEAST: dict[Part, int] = {"choose": 40, "report": 100}
"""Questions of a kind that are asked however long that takes, if there are so many."""
TRIED = 8
"""Questions that tell how long one takes."""
TIMED = 20
"""Questions of a kind that are asked one by one, over and over, for the time that they take."""
METRIC = f"ndcg@{K}"


@dataclass(frozen=True, slots=True)
class Worth:
    """How good the slates are, as shares of those of the pipeline as it was fitted."""

    kinds: Mapping[str, float]
    low: float
    """Lower end of the 95 % interval, of the kind that loses most."""
    high: float
    """Upper end."""

    @property
    def quality(self) -> float:
        """Of the kind of query that loses most: what is true of it is true of each."""
        return min(self.kinds.values())


@dataclass(frozen=True, slots=True)
class Cost:
    """How long single queries take."""

    kinds: Mapping[Kind, Timing]
    networks: Mapping[Kind, float]
    """Which share of it networks take."""

    def times(self, fitted: "Cost") -> dict[str, float]:
        """Return milliseconds by kind: the pipeline's as it was fitted, times the median over turns of the ratio to it.

        A machine that others use slows down by the minute, and both alike.
        """
        whole = fitted.kinds
        return {kind: whole[kind].median * 1000 / timing.ratio(whole[kind]) for kind, timing in self.kinds.items()}

    def milliseconds(self, fitted: "Cost") -> float:
        """Return the mean over kinds of `times`."""
        return fmean(self.times(fitted).values())

    def in_networks(self, fitted: "Cost") -> float:
        """Return how much of these milliseconds networks take."""
        times = self.times(fitted)
        return fmean(share * times[kind] for kind, share in self.networks.items())


class Bench:
    """Measures a pipeline at settings.

    Args:
        pipeline: a fitted one, whose ladders are in place.
        rungs: what runs in its stages.
        questions: by kind.
        fitted: the settings that change nothing.
        seconds: for all that is measured; where answers take long, fewer questions are asked.

    Raises:
        DataError: the pipeline finds none of the answers to one kind of question.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        rungs: Sequence[Rungs],
        questions: Mapping[Kind, Questions],
        fitted: Settings,
        *,
        seconds: float = math.inf,
    ) -> None:
        self.pipeline, self.rungs = pipeline, rungs
        apply_settings(pipeline, fitted)
        halves: dict[Part, dict[Kind, Questions]] = {
            part: {kind: found.take(np.arange(half, len(found), 2)) for kind, found in questions.items()}
            for half, part in enumerate(get_args(Part))
        }
        self.parts: dict[Part, dict[Kind, Questions]] = {
            part: {kind: self._as_many_as(found, SHARES[part] * seconds, LEAST[part]) for kind, found in half.items()}
            for part, half in halves.items()
        }
        self.fitted = {part: self._gains(fitted, part) for part in self.parts}
        for gains in self.fitted.values():
            for kind, found in gains.items():
                if not found.any():
                    raise DataError(
                        f"the artifact finds none of the answers to {len(found)} questions by {kind}, so there is "
                        "no quality to keep; give data that it can answer."
                    )

    def worth(self, settings: Settings, part: Part) -> Worth:
        """Return how good the slates of one part of the questions are."""
        found, whole = self._gains(settings, part), self.fitted[part]
        kinds: dict[str, float] = {kind: float(gains.mean() / whole[kind].mean()) for kind, gains in found.items()}
        worst = min(found, key=lambda kind: kinds[kind])
        lost = (found[worst] - whole[worst]) / whole[worst].mean()
        low, high = bootstrap_interval(lost, clusters=self.parts[part][worst].askers)
        return Worth(kinds, 1 + low, 1 + high)

    def _gains(self, settings: Settings, part: Part) -> dict[Kind, npt.NDArray[np.float64]]:
        """Return nDCG@10 of each question of a part."""
        apply_settings(self.pipeline, settings)
        return {kind: self._answered(questions) for kind, questions in self.parts[part].items()}

    def _answered(self, questions: Questions) -> npt.NDArray[np.float64]:
        gains = []
        for start in range(0, len(questions), TOGETHER):
            some = questions.take(np.arange(start, min(start + TOGETHER, len(questions))))
            ranking = self.pipeline.rank(some.batch(self.pipeline), K)
            gains.append(accuracy(ranking.items, ranking.scores, some.targets, ks=(K,))[METRIC])
        return np.concatenate(gains)

    def _as_many_as(self, questions: Questions, seconds: float, least: int) -> Questions:
        """Return as many of the first questions as are answered in a time."""
        begun = time.perf_counter()
        self._answered(questions.take(np.arange(min(TRIED, len(questions)))))
        each = (time.perf_counter() - begun) / min(TRIED, len(questions))
        return questions.take(np.arange(min(len(questions), max(least, int(min(seconds / each, len(questions)))))))

    def costs(self, steps: Mapping[str, Settings], rounds: Rounds) -> dict[str, Cost]:
        """Time single queries at several settings in turns, each kind by itself, the same query in the same turn."""
        timings: dict[str, dict[Kind, Timing]] = {name: {} for name in steps}
        networks: dict[str, dict[Kind, float]] = {name: {} for name in steps}
        for kind, questions in self.parts["report"].items():
            queries = [questions.query(row, self.pipeline) for row in range(min(TIMED, len(questions)))]
            spent: dict[str, list[float]] = {name: [] for name in steps}
            calls = {name: self._call(settings, queries, spent[name]) for name, settings in steps.items()}
            for name, timing in in_turns(calls, rounds).items():
                timings[name][kind] = timing
                turns = zip(spent[name][rounds.warm :], timing.seconds, strict=True)
                networks[name][kind] = median(own / whole for own, whole in turns)
        return {name: Cost(timings[name], networks[name]) for name in steps}

    def _call(self, settings: Settings, queries: Sequence[Query], spent: list[float]) -> Callable[[], None]:
        turns = cycle(queries)

        def call() -> None:
            apply_settings(self.pipeline, settings)
            self.pipeline.run(next(turns))
            spent.append(sum(rungs.take().seconds for rungs in self.rungs))

        return call
