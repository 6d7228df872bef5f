"""`Ladder`: one stage at several sizes, each with its measured quality and cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from twofold.core.errors import ConfigError

__all__ = ["Ladder", "Rung"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One size of a stage, as measured on held-out data and on this machine."""

    name: str
    quality: float
    """Held-out quality; the top rung's measure, higher is better."""
    milliseconds: float
    """Median time of one query at batch 1."""
    bytes: int
    """Size on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Rungs from the best and slowest to the fastest; each step down must save time.

    Raises:
        ConfigError: there is no rung, or one is not faster than the one above it.
    """

    rungs: Sequence[Rung]

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ConfigError("a ladder needs at least one rung; measure the stage first.")
        for above, below in zip(self.rungs, self.rungs[1:], strict=False):
            if below.milliseconds >= above.milliseconds:
                raise ConfigError(f"rung {below.name!r} is not faster than {above.name!r} above it; leave it out.")

    def pick(self, milliseconds: float, *, floor: float = 0.0) -> Rung:
        """Return the best rung that meets a deadline, else the fastest; never one below the quality floor.

        Raises:
            ConfigError: no rung reaches the floor.

        >>> big = Rung(name="fp32", quality=0.70, milliseconds=8.0, bytes=90_000_000)
        >>> small = Rung(name="int8", quality=0.69, milliseconds=1.0, bytes=23_000_000)
        >>> Ladder(rungs=[big, small]).pick(2.0).name
        'int8'
        >>> Ladder(rungs=[big, small]).pick(2.0, floor=0.695).name
        'fp32'
        """
        good = [rung for rung in self.rungs if rung.quality >= floor]
        if not good:
            raise ConfigError(f"no rung reaches the quality floor {floor}; lower it or measure a better rung.")
        quick = [rung for rung in good if rung.milliseconds <= milliseconds]
        return max(quick, key=lambda rung: rung.quality) if quick else good[-1]
