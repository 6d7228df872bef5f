"""`Dial`: what can be set of a stage; and `descend`, which goes through combinations from the best one down."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twofold.core.ladder import Ladder, Setting
from twofold.core.pipeline import Pipeline
from twofold.core.rungs import OWN, Scaled
from twofold.core.stage import Fuser, Ranker
from twofold.flows.steps.questions import K

__all__ = ["Dial", "Places", "Weighed", "descend", "dials_of", "named", "settings_of"]

Places = tuple[int, ...]
"""For each dial, which of its values: 0 is what was fitted."""
FEWEST_READ = 2
"""A ranker reads no fewer candidates than so many; the next value leaves it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """Values that one thing about a stage can take, what was fitted first, each faster than the one before."""

    stage: str
    values: tuple[str, ...] | tuple[int, ...]
    """Names of rungs, or depths."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What was measured of one combination."""

    quality: float
    milliseconds: float


def dials_of(pipeline: Pipeline, ladders: Mapping[str, Ladder]) -> list[Dial]:
    """Return what can be set of a pipeline: rungs of the stages with a ladder, depths of rankers and of the fusion."""
    dials = []
    for name, stage in pipeline.stages.items():
        if name in ladders and isinstance(stage, Scaled):
            dials.append(Dial(stage=name, values=(OWN, *(rung.name for rung in ladders[name].rungs))))
        if isinstance(stage, Ranker) and stage.depth:
            dials.append(Dial(stage=name, values=(*_halved(stage.depth, FEWEST_READ), 0)))
        if isinstance(stage, Fuser):
            dials.append(Dial(stage=name, values=tuple(_halved(stage.depth, K))))
    return [dial for dial in dials if len(dial.values) > 1]


def _halved(depth: int, least: int) -> list[int]:
    values = [depth]
    while values[-1] // 2 >= least:
        values.append(values[-1] // 2)
    return values


def settings_of(dials: Sequence[Dial], places: Places) -> dict[str, Setting]:
    """Return a combination as what it sets of each stage."""
    found: dict[str, dict[str, str | int]] = {}
    for dial, place in zip(dials, places, strict=True):
        value = dial.values[place]
        found.setdefault(dial.stage, {})["rung" if isinstance(value, str) else "depth"] = value
    return {stage: Setting(**values) for stage, values in found.items()}  # type: ignore[arg-type]


def named(dials: Sequence[Dial], places: Places) -> str:
    """Return a name for a combination, which says what differs from what was fitted.

    >>> named([Dial(stage="text", values=("", "int8")), Dial(stage="close", values=(20, 10, 0))], (1, 2))
    'text int8, close 0'
    """
    turned = (f"{dial.stage} {dial.values[place]}" for dial, place in zip(dials, places, strict=True) if place)
    return ", ".join(turned) or "as fitted"


def descend(
    sizes: Sequence[int], weigh: Callable[[Places], Weighed], more: Callable[[], bool]
) -> dict[Places, Weighed]:
    """Weigh combinations: each value of each dial alone, then from the top down, and return what was weighed.

    On the way down, each move turns the dial that loses least quality for the logarithm of the time it saves. A value
    that by itself is no better than a faster one of its dial, or saves no time, is passed over. So the count of
    combinations grows with the number of dials squared, and not with the product of their sizes.

    Args:
        sizes: how many values each dial has.
        weigh: measures a combination.
        more: says whether there is time for another one; the top is weighed in any case.
    """
    top = (0,) * len(sizes)
    found = {top: weigh(top)}
    useful: list[list[int]] = []
    for dial, size in enumerate(sizes):
        for value in range(1, size):
            place = (*top[:dial], value, *top[dial + 1 :])
            if more():
                found[place] = weigh(place)
        useful.append(_useful(dial, size, found, top))
    here = top
    while moves := _moves(here, useful):
        for place in moves:
            if place not in found:
                if not more():
                    return found
                found[place] = weigh(place)
        saving = [place for place in moves if found[place].milliseconds < found[here].milliseconds]
        if not saving:
            return found
        here = min(saving, key=lambda place: _price(found[here], found[place]))
    return found


def _useful(dial: int, size: int, found: Mapping[Places, Weighed], top: Places) -> list[int]:
    """Return the values of a dial, weighed alone, that save time and that no faster one equals."""
    alone = {value: found.get((*top[:dial], value, *top[dial + 1 :])) for value in range(size)}
    weighed = {value: one for value, one in alone.items() if one is not None}
    kept, last = [0], weighed[0]
    for value, one in weighed.items():
        faster = (other for other in weighed.values() if other.milliseconds < one.milliseconds)
        beaten = any(other.quality >= one.quality for other in faster)
        if value and one.milliseconds < last.milliseconds and not beaten:
            kept, last = [*kept, value], one
    return kept


def _moves(here: Places, useful: Sequence[Sequence[int]]) -> list[Places]:
    """Return the combinations in which one dial stands one useful value lower."""
    lower = ((dial, [value for value in values if value > here[dial]]) for dial, values in enumerate(useful))
    return [(*here[:dial], values[0], *here[dial + 1 :]) for dial, values in lower if values]


def _price(above: Weighed, below: Weighed) -> float:
    """Return the quality that is lost for the logarithm of the time that is saved."""
    return (above.quality - below.quality) / math.log(above.milliseconds / below.milliseconds)
