"""Obtain: find MovieLens, or make a catalogue where there is no network."""

import hashlib
import io
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.data import read_data, simulate

__all__ = ["obtain"]

URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
DIGESTS = {
    "ratings.csv": "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",
    "movies.csv": "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07",
    "tags.csv": "92a9f8bb7916dceef6151209845788c3643f794dfa79d1feaec7121b5960399d",
}
"""sha256 of the files of ml-latest-small as GroupLens generated them on 2018-09-26."""
LARGEST = 50_000_000
SECONDS = 20


def obtain(path: Path | None, say: Callable[[str], None]) -> Dataset:
    """Return the dataset at a path, else MovieLens ml-latest-small, else a simulated one.

    Without a path: a copy downloaded before is used; else it is downloaded from GroupLens and checked
    against its sha256; else, without a network, a catalogue with known preferences is simulated.

    Args:
        path: a MovieLens folder or a file of interactions, or None.
        say: told in one line what is used.

    Raises:
        DataError: the path cannot be read, or the download is not the file it should be.
    """
    if path is not None:
        say(f"reading {path}")
        return read_data(path)
    folder = _cache() / "ml-latest-small"
    if folder.is_dir():
        say(f"reading the copy of MovieLens in {folder}")
        return read_data(folder)
    try:
        with urllib.request.urlopen(URL, timeout=SECONDS) as answer:
            content = answer.read(LARGEST + 1)
    except (OSError, urllib.error.URLError):
        say("there is no network to get MovieLens, so a simulated catalogue is used; DATA=path takes your own copy")
        dataset, _ = simulate()
        return dataset
    say(f"downloaded MovieLens ml-latest-small into {folder}")
    unpack(content, folder)
    return read_data(folder)


def unpack(content: bytes, folder: Path) -> None:
    """Check the bytes of ml-latest-small.zip and put its files into a folder, all or none.

    Raises:
        DataError: it is no zip file, or one of its files is missing or has another sha256.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        temporary = Path(name) / folder.name
        temporary.mkdir()
        try:
            archive = zipfile.ZipFile(io.BytesIO(content))
            for file, digest in DIGESTS.items():
                data = archive.read(f"ml-latest-small/{file}")
                if hashlib.sha256(data).hexdigest() != digest:
                    raise DataError(f"{file} of the download from {URL} has another sha256 than expected; try again.")
                (temporary / file).write_bytes(data)
        except (zipfile.BadZipFile, KeyError):
            raise DataError(f"what {URL} gave is not ml-latest-small.zip; try again later.") from None
        shutil.move(temporary, folder)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twofold"
