"""What `open_picture` makes of good, odd and damaged files."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.encoders.image.conftest import encoded, noise

from twofold.encoders.image.pictures import View, open_picture
from twofold.encoders.media import UnreadableError

RED = (255, 0, 0)


def corner(content: bytes) -> tuple[int, ...]:
    picture = open_picture(content)
    assert picture.mode == "RGB"
    value = picture.getpixel((0, 0))
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    white = Image.new("RGB", (4, 3), "white").convert(mode)
    content = encoded(white, "JPEG", quality=100) if kind == "TIFF" else encoded(white)
    assert corner(content) == (255, 255, 255)


def test_the_inks_of_a_cmyk_photograph_are_colours() -> None:
    content = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = corner(content)
    assert red > 240
    assert green < 15
    assert blue < 15


def test_transparency_lies_on_white() -> None:
    assert corner(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))) == (255, 255, 255)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([9, 9, 9, *RED])
    assert corner(encoded(palette, transparency=0)) == (255, 255, 255)
    assert corner(encoded(palette)) == (9, 9, 9)


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(np.array([[0, 257 * 100], [65_535, 32_768]], np.uint16))
    picture = open_picture(encoded(deep))
    assert np.asarray(picture)[:, :, 0].tolist() == [[0, 100], [255, 128]]


def test_a_photograph_is_turned_as_the_camera_was() -> None:
    picture = Image.new("RGB", (3, 2), "white")
    picture.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: its top is at the right
    turned = open_picture(encoded(picture, exif=exif.tobytes()))
    assert turned.size == (2, 3)
    assert turned.getpixel((1, 0)) == RED


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10)
    red, _, blue = corner(content)
    assert red > 200
    assert blue < 60


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no image"),
        (b"this is a text and no photograph", "no image"),
        (b"\xff\xd8\xff\xe0 not much of a JPEG", "no image|damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
        (encoded(noise(0), "JPEG")[:400], "damaged or cut off"),
        (encoded(noise(0))[:-600], "damaged or cut off"),
    ],
    ids=["empty", "text", "corrupt", "postscript", "truncated jpeg", "truncated png"],
)
def test_what_cannot_be_shown_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        open_picture(content)


def bomb(side: int) -> bytes:
    """A PNG of few bytes that says to be side × side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    with pytest.raises(UnreadableError, match="pixels"):
        open_picture(bomb(side))


def test_one_pixel_is_a_picture() -> None:
    view = View(size=8, crop=0.875)
    pixels = view.pixels(encoded(Image.new("RGB", (1, 1), RED)))
    assert pixels.shape == (3, 8, 8)
    assert pixels[0].min() == pytest.approx(1)
    assert pixels[1:].max() == pytest.approx(0)


def test_the_middle_square_is_seen() -> None:
    wide = Image.new("RGB", (300, 100), RED)
    wide.paste((0, 0, 255), (100, 0, 200, 100))
    pixels = View(size=10, mean=(127, 127, 127), std=(128, 128, 128)).pixels(encoded(wide))
    assert pixels[2, 5, 5] == 1
    assert pixels[0, 5, 5] == np.float32(-127 / 128)
    squeezed = View(size=9, crop=0).pixels(encoded(wide))
    assert squeezed[0, 4, 0] > 0.9
    assert squeezed[2, 4, 4] > 0.9


def test_a_large_photograph_is_decoded_small() -> None:
    large = encoded(noise(1, (1_200, 1_000)).resize((2_400, 2_000)), "JPEG")
    assert min(open_picture(large, near=448).size) == 500
    assert open_picture(large).size == (2_400, 2_000)
    assert Image.open(io.BytesIO(large)).size == (2_400, 2_000)
