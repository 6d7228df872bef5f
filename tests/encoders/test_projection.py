"""Projections by hand."""

from pathlib import Path

import numpy as np

from twofold.encoders.projection import Projection, load_projections, mean_of, save_projections


def array(*rows: object) -> np.ndarray:
    return np.array(rows, np.float32)


def test_one_layer_by_hand() -> None:
    projection = Projection.of([array([3, 0], [0, 2]), array(0, 2)])
    np.testing.assert_allclose(projection(array([1, 1], [0, 0])), [[0.6, 0.8], [0, 0]], atol=1e-6)


def test_two_layers_by_hand() -> None:
    # [1, -1] becomes [1, -1] + [0, -1], of which the rectifier leaves [1, 0], and then [4, 3].
    projection = Projection.of([np.eye(2, dtype=np.float32), array(0, -1), array([4, 2], [100, 100]), array(0, 1)])
    np.testing.assert_allclose(projection(array([1, -1])), [[0.8, 0.6]], atol=1e-6)


def test_the_mean_is_of_what_there_is() -> None:
    found = mean_of([array([1, 0], [1, 0], [0, 0]), array([0, 1], [0, 0], [0, 0])])
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5], [1, 0], [0, 0]], atol=1e-6)


def test_they_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,), (4, 2), (2,))]
    written = {"image": Projection.of(arrays), "text": Projection.of(arrays[2:])}
    save_projections(written, tmp_path / "p.safetensors")
    read = load_projections(tmp_path / "p.safetensors")
    assert read.keys() == written.keys()
    for name, width in (("image", 3), ("text", 4)):
        vectors = rng.normal(size=(5, width)).astype(np.float32)
        np.testing.assert_array_equal(read[name](vectors), written[name](vectors))
