from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from twofold.compress.measure import Rounds, Timing, in_turns, memory_of, parity, steadiness
from twofold.compress.runtime import GRAPH, Feed
from twofold.core.errors import ConfigError
from twofold.core.scores import Floats


class Clock:
    """A clock that only what is timed moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_calls_take_turns_and_each_begins_in_turn() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "abc"}
    in_turns(calls, Rounds(seconds=1e9, most=2, least=2, warm=1))
    assert "".join(order) == "abc" + "abc" + "bca"


def test_a_machine_that_slows_down_keeps_the_ratio() -> None:
    clock, slowness = Clock(), iter([1, 1, 1, 10, 10, 10, 10, 10, 10, 10] * 2)

    def spend(seconds: float) -> None:
        clock.now += seconds * next(slowness)

    found = in_turns({"quick": lambda: spend(1), "slow": lambda: spend(3)}, Rounds(warm=0, most=10), clock=clock)
    assert found["quick"].ratio(found["slow"]) == 3.0


def test_time_ends_the_turns_but_not_before_the_least() -> None:
    clock = Clock()

    def spend() -> None:
        clock.now += 1

    found = in_turns({"one": spend}, Rounds(seconds=3.0, least=2, warm=0), clock=clock)
    assert found["one"].seconds == (1.0, 1.0, 1.0)
    found = in_turns({"one": spend}, Rounds(seconds=0.5, least=5, warm=0), clock=clock)
    assert len(found["one"].seconds) == 5


def test_median_and_p99() -> None:
    timing = Timing(seconds=tuple(float(number) for number in range(1, 201)))
    assert timing.median == 100.5
    assert timing.p99 == 199.0  # of 200 turns, 2 are slower or as slow
    assert Timing(seconds=(1.0, 5.0, 2.0)).p99 == 5.0


def whole(feed: Feed) -> Floats:
    return np.asarray(feed["x"], np.float32)


def by_the_batch(feed: Feed) -> Floats:
    """As dynamic int8: rounded to steps that the largest number of the batch gives."""
    step = np.abs(feed["x"]).max() / 3
    return np.asarray(np.round(feed["x"] / step) * step, np.float32)


def test_steadiness_tells_what_depends_on_the_batch() -> None:
    rows = np.random.default_rng(0).normal(size=(33, 8))
    rows[5] *= 20  # one loud row
    assert steadiness(whole, {"x": rows}) == pytest.approx(1.0)
    assert steadiness(by_the_batch, {"x": rows}) < 0.5


def test_parity_is_that_of_the_worst_row() -> None:
    rows = np.eye(4, 3) + 1.0
    turned = rows.copy()
    turned[2] = [1.0, 1.0, 0.0]
    worst = 2 / np.sqrt(2) / np.sqrt(6)  # (1, 1, 0) against (1, 1, 2)
    assert parity(lambda _: turned, whole, [{"x": rows}]) == pytest.approx(worst)
    assert parity(lambda feed: whole(feed) * 3, whole, [{"x": rows}]) == pytest.approx(1.0)
    assert parity(lambda _: rows * np.nan, whole, [{"x": rows}]) == -1.0


def test_parity_of_numbers_is_by_their_difference() -> None:
    logits = np.array([-2.0, 0.0, 2.0])  # deviation sqrt(8/3)
    scores = 1 / (1 + np.exp(-logits))
    assert parity(lambda _: logits + 0.1, whole, [{"x": logits}]) == pytest.approx(1 - 0.1 / np.sqrt(8 / 3))
    assert parity(lambda _: scores, whole, [{"x": logits}]) < 0.3  # logits and scores of 0 to 1 are not the same


def test_parity_refuses_other_shapes() -> None:
    with pytest.raises(ConfigError, match="compare like with like"):
        parity(lambda _: np.ones((2, 3), np.float32), whole, [{"x": np.ones((2, 4))}])


@pytest.fixture
def heavy(tmp_path: Path) -> Iterator[Path]:
    """A network that holds 40 MB of weights."""
    weights = numpy_helper.from_array(np.ones((1000, 10_000), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "heavy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 1000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 10_000])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (tmp_path / GRAPH).parent.mkdir()
    (tmp_path / GRAPH).write_bytes(model.SerializeToString())
    yield tmp_path
    (tmp_path / GRAPH).unlink()


def test_memory_is_that_of_a_fresh_process(heavy: Path) -> None:
    feed = {"x": np.ones((2, 1000), np.float32)}
    found = memory_of(heavy, "onnxruntime", output="y", feed=feed)
    assert 40e6 < found < 250e6  # the weights, perhaps twice while they are packed, and not all of onnxruntime


def test_memory_of_what_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="could not be measured"):
        memory_of(tmp_path, "onnxruntime", output="y", feed={"x": np.ones((1, 2), np.float32)})


def test_a_row_of_zeros_is_like_another_one_only() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert parity(lambda _: rows, whole, [{"x": rows}]) == 1.0
    assert parity(lambda _: rows * 0, whole, [{"x": rows}]) == 0.0
