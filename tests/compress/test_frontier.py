import pytest

from twofold.compress.frontier import frontier, judge
from twofold.core import Rung


def rung(name: str, quality: float, milliseconds: float, size: int = 1, kept: float | None = None) -> Rung:
    return Rung(name=name, quality=quality, milliseconds=milliseconds, bytes=size, kept=kept)


def names(*rungs: Rung) -> list[str]:
    return [one.name for one in frontier(rungs)]


def test_what_is_beaten_on_both_axes_is_dropped() -> None:
    assert names(rung("a", 0.7, 8), rung("b", 0.6, 9), rung("c", 0.5, 1), rung("d", 0.6, 2)) == ["a", "d", "c"]


@pytest.mark.parametrize(
    ("rungs", "kept"),
    [
        ([rung("slow", 0.7, 8), rung("quick", 0.7, 2)], ["quick"]),  # as good and faster
        ([rung("poor", 0.6, 2), rung("good", 0.7, 2)], ["good"]),  # as fast and better
        ([rung("large", 0.7, 2, 9), rung("small", 0.7, 2, 3)], ["small"]),  # alike, and smaller
        ([], []),
    ],
)
def test_ties(rungs: list[Rung], kept: list[str]) -> None:
    assert names(*rungs) == kept


def test_each_variant_gets_a_verdict_in_its_order() -> None:
    rungs = [
        rung("float32", 0.70, 8, kept=1.0),
        rung("static", 0.60, 0.1, kept=0.86),
        rung("int8", 0.69, 2, kept=0.99),
        rung("dynamic", 0.68, 3, kept=0.97),
        rung("unknown", 0.9, 0.1),
    ]
    verdicts = judge(rungs, floor=0.95)
    assert [verdict.rung.name for verdict in verdicts] == [one.name for one in rungs]
    assert [verdict.refused for verdict in verdicts] == [
        "",
        "below the floor: keeps 0.860 of the teacher's quality, not 0.95",
        "",
        "beaten by int8, which is no worse and no slower",
        "below the floor: keeps unknown of the teacher's quality, not 0.95",
    ]
