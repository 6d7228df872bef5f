"""Which files are read, and which are set aside."""

import os
from pathlib import Path

import polars as pl
import pytest

from twofold.core.errors import ConfigError
from twofold.encoders.media import Media, MediaReport, UnreadableError


def items(*names: str | None) -> pl.DataFrame:
    return pl.DataFrame({"item": range(len(names)), "file": names}, schema_overrides={"file": pl.String})


def reasons(media: Media) -> dict[str, str]:
    return {refused.file: refused.reason for refused in media.report.refused}


def test_only_files_inside_the_folder_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_bytes(b"A")
    (tmp_path / "secret").write_bytes(b"S")
    (folder / "link").symlink_to(tmp_path / "secret")
    inside, outside = str(folder / "deep" / "a"), str(tmp_path / "secret")
    names = ["deep/a", inside, outside, "../secret", "deep/../../secret", "deep/../deep/a", "link", "deep", "nul\0l"]
    media = Media("file", str(folder))
    assert list(media.read(items(*names), bytes.decode)) == [(0, "A"), (1, "A")]
    found = reasons(media)
    out = "the path leads out of the folder"
    assert [found[name] for name in names[2:7]] == [out] * 5
    assert found["deep"] == "there is no such file"
    assert found["nul\0l"].startswith("the file cannot be opened")
    assert (media.report.items, media.report.read, media.report.missing) == (9, 2, 0)


def test_pipes_and_large_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    (tmp_path / "right").write_bytes(b"1234")
    media = Media("file", str(tmp_path), most_bytes=4)
    assert list(media.read(items("pipe", "large", "right", "a" * 500), bytes.decode)) == [(2, "1234")]
    assert reasons(media)["pipe"] == "there is no such file"
    assert reasons(media)["large"] == "the file has more than 4 bytes"
    assert len(media.report.refused) == 3


def test_what_cannot_be_decoded_is_set_aside(tmp_path: Path) -> None:
    def decode(content: bytes) -> bytes:
        raise UnreadableError(f"it is {content.decode()}")

    (tmp_path / "a").write_bytes(b"A")
    media = Media("file", str(tmp_path))
    assert list(media.read(items("a", None), decode)) == []
    assert reasons(media) == {"a": "it is A"}
    assert media.report.missing == 1


def test_a_report_comes_back(tmp_path: Path) -> None:
    media = Media("file", str(tmp_path))
    list(media.read(items("ünlesbar.jpg"), bytes.decode))
    media.report.save(tmp_path)
    assert MediaReport.load(tmp_path) == media.report


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        Media("file", str(tmp_path / "missing"))
