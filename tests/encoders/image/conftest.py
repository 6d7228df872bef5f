"""Pictures, and a catalogue with some."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from twofold.core import Dataset, Histories, IdMap


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


def catalogue(images: list[str | None], **more: list[Any]) -> Dataset:
    """Items that name files, without any events."""
    names = [f"i{row}" for row in range(len(images))]
    items = pl.DataFrame(
        {"item": names, "title": names, "text": [None] * len(names), "categories": [[]] * len(names), **more},
        schema_overrides={"text": pl.String, "categories": pl.List(pl.String)},
    ).with_columns(pl.Series("image", images, pl.String))
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series(["u"])),
        items=items,
        users=pl.DataFrame({"user": ["u"]}),
        log=Histories.empty(1),
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Write a file into the test's folder and return its name."""

    def write(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return name

    return write
