"""Vectors of images: `ImageEncoder` from EfficientNet-Lite0, and `Clip` from a CLIP checkpoint."""

from twofold.encoders.image.clip import Clip, ClipConfig
from twofold.encoders.image.encoder import ImageConfig, ImageEncoder

__all__ = ["Clip", "ClipConfig", "ImageConfig", "ImageEncoder"]
