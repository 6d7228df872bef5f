"""Bytes of a text file into UTF-8 bytes with plain line ends."""

import codecs
import gzip
import os
import re
import zlib
from pathlib import Path

from twofold.core.errors import DataError

__all__ = ["read_bytes", "to_utf8"]

CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
NOT_ASCII = re.compile(
    rb"([\xc2-\xdf][\x80-\xbf]"
    rb"|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})"
    rb"|[\x80-\xff]"
)
"""A well-formed UTF-8 sequence of several bytes (group 1), or a byte that belongs to none."""


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked where it is compressed with gzip.

    Raises:
        DataError: the file is missing, a folder, unreadable, empty, or changed while it was read.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}; check the path.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder where a file is wanted; give the path of a file in it.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check the file and try again.") from None
    if len(data) < size:
        raise DataError(f"{path} lost its end while it was read; read it again when it is complete.")
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            raise DataError(f"{path} is a damaged gzip file; get it again.") from None
    if not data or data.isspace():
        raise DataError(f"{path} is empty; give a file with rows.")
    return data


def to_utf8(data: bytes, name: str, encoding: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    r"""Return UTF-8 without a byte order mark and with `\n` as line end, and notes on what was repaired.

    Without an encoding it is UTF-8 (or UTF-16 where its mark is there), and each byte that is no UTF-8
    is read as Latin-1.

    Raises:
        DataError: the encoding is unknown, or does not fit the bytes.

    >>> to_utf8(b"caf\xc3\xa9,caf\xe9", "menu.csv")[0].decode()
    'café,café'
    """
    notes: tuple[str, ...] = ()
    if encoding is None and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    if encoding is not None:
        try:
            data = data.decode(encoding).encode("utf-8")
        except LookupError:
            raise DataError(f"{encoding!r} is no encoding that Python knows; try 'utf-8' or 'latin-1'.") from None
        except UnicodeError:
            raise DataError(f"{name} is not in {encoding}; leave the encoding out to have it guessed.") from None
    elif not _is_utf8(data):
        data, notes = _repair(data, name)
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\n" not in data:
            data = data.replace(b"\r", b"\n")
    return data, notes


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), CHUNK):
            decoder.decode(data[start : start + CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _repair(data: bytes, name: str) -> tuple[bytes, tuple[str, ...]]:
    places: list[int] = []

    def repaired(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return match[0]
        places.append(match.start())
        return match[0].decode("latin-1").encode("utf-8")

    data_utf8 = NOT_ASCII.sub(repaired, data)
    line = data.count(b"\n", 0, places[0]) + 1
    what = "1 byte that is" if len(places) == 1 else f"{len(places):,} bytes that are"
    return data_utf8, (f"{name}: {what} not UTF-8 read as Latin-1, first on line {line:,}",)
