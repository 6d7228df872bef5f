"""The frontier: of many variants, those that no other beats in both quality and speed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from twofold.core.ladder import Rung

__all__ = ["Verdict", "frontier", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A variant, and why it is not in the ladder where it is not."""

    rung: Rung
    refused: str = ""
    """Why it is left out, in a few words; "" for a rung of the ladder."""


def frontier(rungs: Sequence[Rung]) -> list[Rung]:
    """Return the rungs that none beats on both axes, from the slowest to the fastest.

    One beats another where it is at least as good and at least as fast, and better in one of them. Of those that
    are alike in both, the smaller one stays, then the first.

    >>> def rung(name, quality, milliseconds):
    ...     return Rung(name=name, quality=quality, milliseconds=milliseconds, bytes=1)
    >>> [r.name for r in frontier([rung("a", 0.7, 8), rung("b", 0.6, 9), rung("c", 0.5, 1)])]
    ['a', 'c']
    """
    kept: list[Rung] = []
    for rung in sorted(rungs, key=lambda rung: (rung.milliseconds, -rung.quality, rung.bytes)):
        if not kept or rung.quality > kept[-1].quality:
            kept.append(rung)
    return kept[::-1]


def judge(rungs: Sequence[Rung], *, floor: float) -> list[Verdict]:
    """Say of each variant whether it is a rung of the ladder, and if not, why.

    Args:
        rungs: in the order in which they were made.
        floor: share of the teacher's quality that a rung must keep; one whose share is unknown is left out.
    """
    enough = [rung for rung in rungs if rung.kept is not None and rung.kept >= floor]
    best = frontier(enough)
    chosen = {rung.name for rung in best}
    verdicts = []
    for rung in rungs:
        refused = ""
        if rung not in enough:
            share = "unknown" if rung.kept is None else f"{rung.kept:.3f}"
            refused = f"below the floor: keeps {share} of the teacher's quality, not {floor:g}"
        elif rung.name not in chosen:
            by = next(
                other.name
                for other in best
                if other.milliseconds <= rung.milliseconds and other.quality >= rung.quality
            )
            refused = f"beaten by {by}, which is no worse and no slower"
        verdicts.append(Verdict(rung=replace(rung), refused=refused))
    return verdicts
