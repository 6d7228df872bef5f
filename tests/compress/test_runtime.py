from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from twofold.compress import runtime
from twofold.compress.resident import _resident
from twofold.compress.runtime import GRAPH, OPENVINO, Feed, open_runtime, runtimes, write_openvino
from twofold.core.errors import ArtifactError, ConfigError, MissingExtraError
from twofold.core.threads import available_threads

INSTALLED = pytest.mark.parametrize("name", runtimes())
WIDE = 256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network of any batch and length: the mean over the length of |values| times 256 weights, 1, 2, …"""
    weights = np.arange(1, WIDE + 1, dtype=np.float32)[None, None]
    nodes = [
        helper.make_node("Abs", ["values"], ["sizes"]),
        helper.make_node("Unsqueeze", ["sizes", "axis"], ["tall"]),
        helper.make_node("Mul", ["tall", "weights"], ["wide"]),
        helper.make_node("ReduceMean", ["wide"], ["means"], axes=[1], keepdims=0),
        helper.make_node("Identity", ["values"], ["other"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["b", "l"])],
        [
            helper.make_tensor_value_info("other", TensorProto.FLOAT, ["b", "l"]),
            helper.make_tensor_value_info("means", TensorProto.FLOAT, ["b", WIDE]),
        ],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([2]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (tmp_path / GRAPH).parent.mkdir()
    (tmp_path / GRAPH).write_bytes(model.SerializeToString())
    return tmp_path


def feed(rows: int, length: int) -> Feed:
    values = np.random.default_rng(rows * 1000 + length).normal(size=(rows, length)).astype(np.float32)
    return {"values": values, "unknown to the network": np.zeros(rows)}


@INSTALLED
def test_the_output_that_is_asked_for_comes_back(folder: Path, name: str) -> None:
    network = open_runtime(folder, name, output="means", threads=1)
    first, second = feed(3, 5), feed(2, 9)
    found = network(first)
    again = network(second)  # must not write over what came before
    for given, out in ((first, found), (second, again)):
        expected = np.abs(given["values"]).mean(axis=1)[:, None] * np.arange(1, WIDE + 1)
        assert out.dtype == np.float32
        assert np.allclose(out, expected, rtol=2e-2 if name.endswith("bfloat16") else 1e-5)


@INSTALLED
def test_threads_may_share_a_network(folder: Path, name: str) -> None:
    network = open_runtime(folder, name, output="means", threads=1)
    feeds = [feed(1 + row % 4, 3 + row) for row in range(24)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(network, feeds))
    assert all(np.array_equal(one, network(given)) for one, given in zip(together, feeds, strict=True))


@INSTALLED
def test_memory_does_not_grow_over_200_shapes(folder: Path, name: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:  # else other tests' memory moves, too
        sizes = alone.submit(_sizes, folder, name).result()
    largest = 4 * 32 * 256 * WIDE
    assert max(sizes[100:]) - max(sizes[:100]) < largest / 4


def _sizes(folder: Path, name: str) -> list[int]:
    """Return the resident bytes of this process after each of 200 shapes."""
    network = open_runtime(folder, name, output="means", threads=1)
    rng = np.random.default_rng(0)
    network(feed(32, 256))  # the largest: 32 x 256 x 256 numbers
    sizes = []
    for _ in range(200):
        network(feed(int(rng.integers(1, 33)), int(rng.integers(1, 257))))
        sizes.append(_resident())
    return sizes


@INSTALLED
def test_threads_are_those_that_may_be_used(folder: Path, name: str) -> None:
    assert open_runtime(folder, name, output="means").threads == available_threads()
    assert open_runtime(folder, name, output="means", threads=2).threads == 2


@INSTALLED
def test_what_cannot_be_run_is_said_in_a_sentence(folder: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"no output 'mean'; did you mean 'means'\?"):
        open_runtime(folder, name, output="mean")
    (folder / GRAPH).write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=rf"cannot be run by {name} \(.*; make it again"):
        open_runtime(folder, name, output="means")


def test_an_unknown_runtime_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'openvino'"):
        open_runtime(folder, "openvin", output="means")


def test_without_openvino_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'twofold\[compress\]'"):
        open_runtime(folder, "openvino", output="means")
    monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    assert runtimes() == ("onnxruntime",)


@pytest.mark.skipif("openvino" not in runtimes(), reason="openvino is not installed")
def test_bfloat16_is_offered_where_the_cpu_has_it(tmp_path: Path) -> None:
    (tmp_path / "has").write_text("flags : avx2 avx512_bf16 amx_tile\n")
    (tmp_path / "lacks").write_text("flags : avx2 fma\n")
    assert runtimes(tmp_path / "has") == ("onnxruntime", "openvino", "openvino bfloat16")
    assert runtimes(tmp_path / "lacks") == runtimes(tmp_path / "nowhere") == ("onnxruntime", "openvino")


@pytest.mark.skipif("openvino" not in runtimes(), reason="openvino is not installed")
def test_openvinos_own_format_says_the_same(folder: Path) -> None:
    given = feed(3, 7)
    expected = open_runtime(folder, "onnxruntime", output="means", threads=1)(given)
    write_openvino(folder)
    assert (folder / OPENVINO).is_file()
    (folder / GRAPH).unlink()  # so that it must be read from there
    found = open_runtime(folder, "openvino", output="means", threads=1)(given)
    assert np.allclose(found, expected, rtol=1e-5)
