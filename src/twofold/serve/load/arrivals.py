"""`Trace`: when questions come: steadily, more and more, with a burst or as over a day; evenly or in clumps."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from twofold.core.errors import ConfigError, nearest

__all__ = ["SHAPES", "Phase", "Shape", "Trace"]

Shape = Literal["constant", "ramp", "burst", "diurnal"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
NIGHT, MORNING = (0.20, 0.11, 0.05, 0.01, 0.0, 0.03), (0.12, 0.30, 0.55, 0.80, 0.95, 1.0)
AFTERNOON, EVENING = (0.93, 0.90, 0.94, 0.96, 0.92, 0.84), (0.74, 0.68, 0.62, 0.52, 0.40, 0.29)
DAY = NIGHT + MORNING + AFTERNOON + EVENING
"""Load by the hour, from the quietest, 0, to the busiest, 1: night, a forenoon's and an afternoon's height, evening."""
GRID = 10_000
"""Points at which the integral of the rate is taken."""
MOST = 5_000_000
"""Questions of a trace."""

Moments = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a trace, in seconds from its beginning."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """When questions come.

    Distances between them are of a gamma distribution with mean 1 and the given spread, on a clock that runs as fast
    as the rate: the i-th comes at Λ⁻¹(g₁ + … + gᵢ), Λ(t) = ∫₀ᵗ rate.

    Raises:
        ConfigError: an option is out of range.

    >>> Trace(rate=2, seconds=2, cv=0).moments(np.random.default_rng(0)).round(6).tolist()
    [0.5, 1.0, 1.5, 2.0]
    """

    shape: Shape = "constant"
    rate: float = 20.0
    """Questions a second, where it is quiet."""
    peak: float = 60.0
    """Questions a second at the height; a constant trace has none."""
    seconds: float = 60.0
    burst_seconds: float = 30.0
    """How long the burst in the middle lasts."""
    cv: float = 1.0
    """Standard deviation of the distances over their mean: 0 is even, 1 is chance (Poisson), 4 is in clumps."""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ConfigError(f"there is no trace {self.shape!r}; {nearest(self.shape, SHAPES)}")
        if not (self.rate > 0 and self.peak > 0 and self.seconds > 0 and 0 <= self.cv <= 20):
            raise ConfigError("rates and seconds of a trace are above 0, and cv is 0 to 20; mend that.")
        if self.shape == "burst" and not 0 < self.burst_seconds < self.seconds:
            raise ConfigError(f"a burst of {self.burst_seconds:g} s does not fit {self.seconds:g} s; mend that.")
        if max(self.rate, self.peak) * self.seconds > MOST:
            raise ConfigError(f"a trace has at most {MOST:,} questions; lower its rate or its seconds.")

    def phases(self) -> list[Phase]:
        """Return its parts, in order."""
        if self.shape == "constant":
            return [Phase("all", 0, self.seconds)]
        names: tuple[str, ...] = ("night", "forenoon", "afternoon", "evening")
        ends = np.linspace(0, self.seconds, 5).tolist()
        if self.shape == "burst":
            begin = (self.seconds - self.burst_seconds) / 2
            names, ends = ("before", "burst", "after"), [0.0, begin, begin + self.burst_seconds, self.seconds]
        elif self.shape == "ramp":
            names, ends = ("low", "middle", "high"), np.linspace(0, self.seconds, 4).tolist()
        return [Phase(name, ends[place], ends[place + 1]) for place, name in enumerate(names)]

    def rates(self, moments: Moments) -> Moments:
        """Return how many questions a second come at some moments."""
        if self.shape == "constant":
            high: Moments = np.zeros_like(moments)
        elif self.shape == "burst":
            _, burst, _ = self.phases()
            high = ((moments >= burst.begin) & (moments < burst.end)).astype(np.float64)
        elif self.shape == "ramp":
            high = moments / self.seconds
        else:
            high = np.interp(moments / self.seconds * len(DAY), np.arange(len(DAY)), DAY, period=len(DAY))
        return self.rate + (self.peak - self.rate) * high

    def moments(self, rng: np.random.Generator) -> Moments:
        """Return when questions come, in seconds from the beginning, in order."""
        grid = np.linspace(0, self.seconds, GRID + 1)
        steps = self.rates((grid[1:] + grid[:-1]) / 2) * (self.seconds / GRID)
        integral = np.concatenate(([0.0], np.cumsum(steps)))
        total = integral[-1] * (1 + 1e-9)  # an even trace ends with a question, whatever the rounding
        gaps: list[Moments] = []
        reached = 0.0
        while reached <= total:
            size = int(total) + 100
            drawn = rng.gamma(self.cv**-2, self.cv**2, size) if self.cv else np.ones(size)
            gaps.append(drawn)
            reached += float(drawn.sum())
        places = np.cumsum(np.concatenate(gaps))
        found: Moments = np.interp(places[places <= total], integral, grid)
        return found
