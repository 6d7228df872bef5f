"""`Compress`: how a ladder is made."""

from dataclasses import dataclass

from twofold.flows.compress.weighing import QUICK, THOROUGH, Pace

__all__ = ["Compress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compress:
    """How a ladder is made."""

    floor: float = 0.98
    """Share of the teacher's quality that each rung must keep."""
    minutes: float = 15.0
    """Time for all; what is begun is ended."""
    seed: int = 0
    """Of everything random."""
    threads: int = 1
    """For a single query, the teacher's too; 0 for as many as this process may use. One, as a server that answers
    several at once has it: on a busy machine two threads of one query wait for each other, torch's most of all,
    so that a ratio to it tells more of the machine than of the rung."""
    steady: float = 0.99
    """The least cosine of what is said of a row alone with what is said of it in any batch."""
    runtimes: tuple[str, ...] = ()
    """Which runtimes are tried; empty for all that are installed."""
    bodies: tuple[str, ...] = ()
    """Which bodies are tried beside the teacher's own; empty for all."""
    quick: Pace = QUICK
    """How time is measured while searching."""
    thorough: Pace = THOROUGH
    """How time is measured for the rungs of the ladder."""

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1 or self.minutes <= 0:
            raise ValueError("compressing wants a quality floor from 0 to 1 and minutes above 0.")
        if self.threads < 0 or not 0 <= self.steady <= 1:
            raise ValueError("compressing wants threads of 0 or more, and steady from 0 to 1.")
