"""The parts of the overload benchmark that need no server."""

from pathlib import Path

from benchmarks.overload import sentences, thinned

from twofold.core.ladder import Rung


def rung(name: str, quality: float, milliseconds: float) -> Rung:
    return Rung(name=name, quality=quality, milliseconds=milliseconds, bytes=1, folder=name)


def test_of_a_long_ladder_those_that_differ_most_are_kept() -> None:
    rungs = [rung("a", 0.8, 10.0), rung("b", 0.79, 9.0), rung("c", 0.77, 3.0), rung("d", 0.7, 1.0), rung("e", 0.3, 0.1)]
    assert [found.name for found in thinned(rungs, 4)] == ["a", "c", "d", "e"]
    assert [found.name for found in thinned(rungs, 9)] == ["a", "b", "c", "d", "e"]
    assert [found.name for found in thinned(rungs, 2)] == ["a", "e"]
    assert [found.name for found in thinned([*rungs, rung("f", 0.75, 0.05)], 9)] == ["a", "b", "c", "f"]


def test_sentences_are_of_some_length_and_each_comes_once(tmp_path: Path) -> None:
    long = "A boy is left behind in an airport that nobody uses any more."
    path = tmp_path / "plots.csv"
    path.write_text(f'movieId,ml_title,overview\n1,One,"{long} Short one. {long}"\n2,Two,\n3,Three,"{"x" * 300}"\n')
    assert sentences(path) == [long]
