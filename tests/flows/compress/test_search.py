"""The search, with networks of one matrix, which need no torch and take no time."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

from twofold.compress.frontier import Verdict
from twofold.compress.measure import Rounds, Timing
from twofold.compress.runtime import GRAPH, Feed
from twofold.core import Ladder, Rung
from twofold.core.errors import ConfigError
from twofold.flows.compress import Body, Compress, Making, Outcome, Subject, compress, render_page
from twofold.flows.compress import search as module
from twofold.flows.compress.coats import Coat, Coated, Graphs
from twofold.flows.compress.subject import Network, Part, Use
from twofold.flows.compress.weighing import Pace, Scales, Speed

WIDTH = 8
QUICK = Pace(one=Rounds(seconds=0.01, least=2, most=3), many=Rounds(seconds=0.01, least=2, most=3))
SPEEDS = {"teacher": 1.0, "float32": 2.0, "int8": 8.0, "slow int8": 1.5, "small, float32": 4.0, "small, int8": 16.0}
"""Times as fast as the teacher: what the measuring would find on a machine of its own."""


def graph(scale: float, *, noise: float = 0.0, name: str = "network") -> bytes:
    weights = np.eye(WIDTH, dtype=np.float32) * scale
    weights[0] += noise
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", WIDTH])],
        [numpy_helper.from_array(weights, "w")],
    )
    content: bytes = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    ).SerializeToString()
    return content


class Matrix(Subject):
    """A network that should return what it is given; its quality is how near it comes."""

    kind, output, metric, name = "matrix", "y", "nearness", "identity"

    def __init__(self, *, broken: str = "") -> None:
        self.made: list[str] = []
        self.broken = broken
        self.about = {"cases": 20}

    def fingerprint(self) -> str:
        return "matrix"

    def _write(self, name: str, noise: float) -> Body:
        def make(making: Making) -> Sequence[str]:
            self.made.append(name)
            if name == self.broken:
                raise KeyboardInterrupt
            (making.folder / GRAPH).parent.mkdir(parents=True)
            (making.folder / GRAPH).write_bytes(graph(1.0, noise=noise))
            return [f"{name} was made."]

        return Body(name=name, make=make, steps=(name,))

    def export(self, making: Making) -> Sequence[str]:
        return self._write("teacher", 0.0).make(making)

    def bodies(self) -> list[Body]:
        poor = self._write("poor", 3.0)
        late = Body(name="late", make=poor.make, steps=(), trained=True)
        return [self._write("small", 0.01), poor, late]

    def teacher(self, threads: int) -> Network:
        return lambda feed: np.asarray(feed["x"], np.float32)

    def feeds(self, use: Use, folder: Path) -> list[Feed]:
        rows = {"one": 1, "many": 32, "calibrate": 8, "check": 33}[use]
        return [{"x": np.random.default_rng(0).normal(size=(rows, WIDTH)).astype(np.float32)}]

    def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
        given = np.random.default_rng({"choose": 1, "report": 2}[part]).normal(size=(20, WIDTH)).astype(np.float32)
        apart = np.linalg.norm(network({"x": given}) - given, axis=1)
        return np.asarray(np.exp(-apart), np.float64)


def same(graphs: Graphs, _: Sequence[Feed]) -> list[Coated]:
    return [Coated(content=graphs.fused, runtimes=("onnxruntime",), notes=("int8 it is.",))]


def fails(_: Graphs, __: Sequence[Feed]) -> list[Coated]:
    raise ConfigError("this network has an operator that cannot be quantised; leave it out.")


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coats of our own, and a machine whose speeds are known."""
    plain = Coat(name="float32", put=lambda g, _: [Coated(content=g.plain, runtimes=("onnxruntime",))], quantised=False)
    listed = [plain, *(Coat(name=name, put=same) for name in ("int8", "slow int8")), Coat(name="odd", put=fails)]
    monkeypatch.setattr(module, "coats", lambda: listed)
    monkeypatch.setattr("twofold.flows.compress.finishing.memory_of", lambda *_, **__: 12_000_000)

    def weigh(_: Scales, rivals: dict[str, object], __: Pace, *, threads: int = 1) -> dict[str, Speed]:  # noqa: ARG001
        return {name: speed(SPEEDS.get(name, 3.0)) for name in ["teacher", *rivals]}

    def speed(times: float) -> Speed:
        one = Timing(seconds=(0.008 / times,) * 3)
        return Speed(one=one, many=one, speedup=times, gain=times)

    monkeypatch.setattr(Scales, "weigh", weigh)


def run(folder: Path, subject: Matrix | None = None, **options: object) -> Outcome:
    chosen = Compress(**{"floor": 0.9, "quick": QUICK, "thorough": QUICK, "threads": 1, **options})  # type: ignore[arg-type]
    return compress(subject or Matrix(), folder, chosen)


def reasons(outcome: Outcome) -> dict[str, str]:
    return {verdict.rung.name: verdict.refused for verdict in outcome.verdicts}


def test_the_ladder_holds_what_nothing_beats(tmp_path: Path) -> None:
    outcome = run(tmp_path, bodies=("small", "poor"))
    assert [rung.name for rung in outcome.ladder.rungs] == ["int8", "small, int8"]
    assert outcome.ladder == Ladder.read(tmp_path)
    int8, small = outcome.ladder.rungs
    assert (int8.speedup, int8.milliseconds, int8.rate_two) == (8.0, pytest.approx(1.0), pytest.approx(32_000.0))
    assert (int8.kept, int8.p_value, int8.memory, int8.parameters) == (pytest.approx(1.0), 1.0, 12_000_000, 64)
    assert small.steps == ("small", "int8")
    assert small.notes == ("small was made.", "int8 it is.")
    assert 0.9 < small.kept < 1.0  # type: ignore[operator]
    assert small.quality_low < small.quality < small.quality_high  # type: ignore[operator]
    assert outcome.ladder.teacher is not None
    assert outcome.ladder.teacher.milliseconds == pytest.approx(8.0)


def test_what_is_left_out_is_told_with_its_reason(tmp_path: Path) -> None:
    found = reasons(run(tmp_path, bodies=("small", "poor")))
    assert found["float32"] == "beaten by int8, which is no worse and no slower"
    assert found["slow int8"] == "not faster than its parent, float32, on this machine (0.75 times as fast)"
    assert found["odd"] == "this network has an operator that cannot be quantised; leave it out."
    assert found["poor, int8"].startswith("below the floor: keeps 0.")
    assert not (tmp_path / "rungs" / "slow-int8").exists()


def test_a_coat_that_another_outruns_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its quality could not matter, and measuring it takes most of the time that there is."""
    listed = [*module.coats(), Coat(name="middling int8", put=same)]
    monkeypatch.setattr(module, "coats", lambda: listed)
    monkeypatch.setitem(SPEEDS, "middling int8", 4.0)
    judged = []

    class Watched(Matrix):
        def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
            judged.append(folder.name)
            return super().quality(network, folder, part)

    found = reasons(run(tmp_path, Watched(), bodies=()))
    assert found["middling int8"] == (
        "its quality was not measured: int8 is faster (8.0 and 8.0 times the teacher's speed, against 4.0 and 4.0), no "
        "larger, and keeps 100.0%"
    )
    assert "int8" in judged
    assert not [name for name in judged if "middling" in name]


def test_what_is_left_out_keeps_the_time_that_was_measured(tmp_path: Path) -> None:
    outcome = run(tmp_path, bodies=("small",))
    float32 = next(verdict.rung for verdict in outcome.verdicts if verdict.rung.name == "float32")
    assert float32.milliseconds == pytest.approx(4.0)


def test_quality_is_told_of_cases_that_chose_nothing(tmp_path: Path) -> None:
    outcome = run(tmp_path, bodies=("small",))
    small = outcome.ladder.rungs[-1]
    noted = json.loads((tmp_path / "rungs" / "small,-int8.json").read_text())["rung"]
    assert noted["name"] == small.name
    assert noted["quality"] != small.quality


def test_a_killed_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = Matrix(broken="poor")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, first, bodies=("small", "poor"))
    assert first.made == ["teacher", "small", "poor"]
    assert not (tmp_path / "ladder.json").exists()
    second = Matrix()
    outcome = run(tmp_path, second, bodies=("small", "poor"))
    assert second.made == ["poor"]
    assert [rung.name for rung in outcome.ladder.rungs] == ["int8", "small, int8"]


def test_a_finished_run_makes_nothing_anew_and_a_larger_budget_goes_on(tmp_path: Path) -> None:
    outcome = run(tmp_path, minutes=0.1)
    assert outcome.untried == ("late",)
    subject = Matrix()
    assert run(tmp_path, subject, minutes=0.1).untried == ("late",)
    assert subject.made == []
    assert run(tmp_path, subject, minutes=10).untried == ()
    assert subject.made == ["poor"]  # which is what "late" calls itself


def test_a_floor_that_none_reaches_is_an_error(tmp_path: Path) -> None:
    class Poor(Matrix):
        def quality(self, network: Network, folder: Path, part: Part) -> npt.NDArray[np.float64]:
            whole = super().quality(network, folder, part)
            return whole if folder.parent.name == "bodies" else whole / 2

    with pytest.raises(ConfigError, match=r"no variant keeps 0\.9 of the teacher's quality; lower the quality floor"):
        run(tmp_path, Poor(), bodies=("small",))


def test_an_export_that_says_something_else_is_refused(tmp_path: Path) -> None:
    class Lost(Matrix):
        def teacher(self, threads: int) -> Network:
            return lambda feed: np.asarray(feed["x"][:, ::-1], np.float32)

    with pytest.raises(ConfigError, match="does not say what the model in torch says"):
        run(tmp_path, Lost())


def test_progress_tells_what_is_done_and_the_time_left(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    compress(
        Matrix(),
        tmp_path,
        Compress(floor=0.9, minutes=10, quick=QUICK, thorough=QUICK, bodies=("small",)),
        progress=lambda *what: told.append(what),
    )
    assert told[0] == ("compress: making teacher, 10 min left", 0, 600)
    assert all(done <= of == 600 for _, done, of in told)


def test_the_report_shows_every_variant_and_runs_nothing(tmp_path: Path) -> None:
    outcome = run(tmp_path, bodies=("small", "poor"))
    hostile = Rung(name="<script>alert(1)</script>", quality=0.5, milliseconds=1.0, bytes=1)
    page = render_page(
        Outcome(
            folder=tmp_path,
            ladder=outcome.ladder,
            verdicts=(*outcome.verdicts, Verdict(rung=hostile, refused="made up")),
            untried=("late",),
            seconds=1.0,
        )
    )
    for verdict in outcome.verdicts:
        assert verdict.rung.name in page
    assert "16.0 times" in page
    assert "There was no time for: late." in page
    assert "<script>" not in page
    assert "nan" not in page.lower()


@pytest.mark.parametrize("options", [{"floor": 1.5}, {"minutes": 0.0}, {"threads": -1}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="compressing wants"):
        Compress(**options)  # type: ignore[arg-type]
