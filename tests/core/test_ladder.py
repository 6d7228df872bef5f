import pytest

from twofold.core import Ladder, Rung
from twofold.core.errors import ConfigError


def rung(name: str, quality: float, milliseconds: float) -> Rung:
    return Rung(name=name, quality=quality, milliseconds=milliseconds, bytes=1)


BIG, MIDDLE, SMALL = rung("big", 0.7, 8.0), rung("middle", 0.71, 4.0), rung("small", 0.5, 1.0)
LADDER = Ladder(rungs=[BIG, MIDDLE, SMALL])


@pytest.mark.parametrize(
    ("milliseconds", "floor", "name"),
    [
        (100.0, 0.0, "middle"),  # the best, which is not the slowest here
        (4.0, 0.0, "middle"),  # a deadline is met when it is reached
        (3.9, 0.0, "small"),
        (0.1, 0.0, "small"),  # none meets it: the fastest
        (0.1, 0.6, "middle"),  # never below the floor
        (0.1, 0.71, "middle"),
    ],
)
def test_pick(milliseconds: float, floor: float, name: str) -> None:
    assert LADDER.pick(milliseconds, floor=floor).name == name


def test_a_floor_that_none_reaches_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"quality floor 0\.8"):
        LADDER.pick(100.0, floor=0.8)


def test_a_rung_that_saves_no_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="'same' is not faster than 'big'"):
        Ladder(rungs=[BIG, rung("same", 0.6, 8.0)])


def test_a_ladder_needs_a_rung() -> None:
    with pytest.raises(ConfigError, match="at least one rung"):
        Ladder(rungs=[])
