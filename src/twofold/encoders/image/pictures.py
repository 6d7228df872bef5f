"""Bytes of an image file to the pixels that a network sees. Whatever cannot be shown raises one kind of error."""

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from twofold.encoders.media import UnreadableError

__all__ = ["MOST_PIXELS", "View", "open_picture"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MOST_PIXELS = 50_000_000
PAPER = (255, 255, 255)
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
WRONG = (OSError, ValueError, SyntaxError, TypeError, IndexError, KeyError, EOFError, MemoryError, OverflowError)
"""What Pillow raises for damaged files."""

Pixels = npt.NDArray[np.float32]


def open_picture(content: bytes, near: int | None = None) -> Image.Image:
    """Return an image file's first frame as upright RGB; what is transparent lies on white.

    Args:
        content: a JPEG, PNG, WebP, GIF or BMP file.
        near: a JPEG may be decoded at a fraction of its size, as long as both sides stay at least so long.

    Raises:
        UnreadableError: it is none of these, is damaged or cut off, or has more than 50 million pixels, which is known
            before anything is decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            wide, high = picture.size
            if wide * high > MOST_PIXELS:
                raise UnreadableError(f"it has {wide:,} × {high:,} pixels, and at most {MOST_PIXELS:,} are read")
            if near is not None:
                picture.draft(None, (near, near))
            picture.load()
            return _plain(_upright(picture))
    except UnreadableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError(f"it has more than {MOST_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise UnreadableError(f"it is no image of the formats {', '.join(FORMATS)}") from None
    except (*WRONG, struct.error, Warning) as error:
        raise UnreadableError(
            f"it is damaged or cut off ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from None


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a photograph as its camera was held; notes of the camera that are damaged turn nothing."""
    try:
        return ImageOps.exif_transpose(picture)
    except (*WRONG, struct.error):
        return picture.copy()


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode in DEEP:
        deep = np.asarray(picture).astype(np.float64) / 257
        return Image.fromarray(deep.clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        paper = Image.new("RGB", seen.size, PAPER)
        paper.paste(seen, mask=seen.getchannel("A"))
        return paper
    return picture.convert("RGB")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a network looks at a picture: the middle square, scaled to its size, each channel shifted and divided."""

    size: int
    """Pixels of a side."""
    crop: float = 1.0
    """Share of the shorter side that the square takes; 0 squeezes the whole picture into it."""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Of the values 0 … 255, for red, green and blue."""
    std: tuple[float, ...] = (255.0, 255.0, 255.0)

    def pixels(self, content: bytes) -> Pixels:
        """Return what the network sees of an image file, float32 [3, size, size].

        Raises:
            UnreadableError: see `open_picture`.
        """
        picture = open_picture(content, near=2 * self.size)
        side = min(picture.size) * self.crop
        left, top = ((length - side) / 2 for length in picture.size)
        box = (left, top, left + side, top + side) if side else None
        square = picture.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        seen: Pixels = ((np.asarray(square, np.float32) - mean) / std).transpose(2, 0, 1)
        return seen
