import errno
import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from twofold.core import Artifact
from twofold.core.artifact import FORMAT
from twofold.core.errors import ArtifactError


def build(folder: Path) -> None:
    (folder / "part").mkdir()
    (folder / "part" / "weights.npy").write_bytes(b"0123456789")
    (folder / "words.json").write_text("{}")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return Artifact.write(tmp_path / "model", build, {"recipe": {"name": "Büro", "sizes": (1, 2)}}).folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read(artifact: Path) -> None:
    found = Artifact.open(artifact)
    assert found.folder == artifact
    assert found.manifest["format"] == FORMAT
    assert found.manifest["recipe"] == {"name": "Büro", "sizes": [1, 2]}
    assert found.manifest["packages"].keys() >= {"numpy", "polars", "twofold"}
    assert {name: seal["bytes"] for name, seal in found.manifest["files"].items()} == {
        "part/weights.npy": 10,
        "words.json": 2,
    }


def test_a_manifest_is_read_without_its_files(artifact: Path) -> None:
    (artifact / "part" / "weights.npy").unlink()
    assert Artifact.open(artifact, check=False).manifest["recipe"]["name"] == "Büro"
    with pytest.raises(ArtifactError, match="is missing"):
        Artifact.open(artifact)
    (artifact / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="damaged"):
        Artifact.open(artifact, check=False)


def test_the_writer_returns_what_a_reader_finds(tmp_path: Path) -> None:
    written = Artifact.write(tmp_path / "model", build, {"sizes": (1, 2)})
    assert written == Artifact.open(tmp_path / "model")


def test_a_new_artifact_replaces_the_old_one(artifact: Path) -> None:
    Artifact.write(artifact, lambda _: None, {"recipe": {}})
    assert Artifact.open(artifact).manifest["files"] == {}
    assert os.listdir(artifact.parent) == ["model"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    Artifact.write(tmp_path / "a" / "b" / "model", build, {})
    assert Artifact.open(tmp_path / "a" / "b" / "model").manifest["files"]


def test_the_folder_can_be_read_by_others(artifact: Path) -> None:
    assert artifact.stat().st_mode & 0o777 == 0o755


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def alter(path: Path) -> None:
    path.write_bytes(b"X" + path.read_bytes()[1:])


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (shorten, "part/weights.npy", r"weights\.npy has 9 bytes instead of 10"),
        (alter, "part/weights.npy", r"part/weights\.npy was altered"),
        (Path.unlink, "words.json", r"words\.json is missing"),
        (Path.unlink, "manifest.json", "there is no artifact"),
        (shorten, "manifest.json", r"manifest\.json is damaged"),
        (lambda path: path.write_text("[]"), "manifest.json", r"manifest\.json is damaged"),
        (lambda path: path.write_bytes(b"\xff"), "manifest.json", r"manifest\.json is damaged"),
        (lambda path: path.write_text("x"), "part/more.npy", r"more\.npy is no part of the artifact"),
    ],
)
def test_a_damaged_artifact_is_refused_by_name(artifact: Path, change: Any, name: str, message: str) -> None:
    change(artifact / name)
    with pytest.raises(ArtifactError, match=message):
        Artifact.open(artifact)


def test_a_manifest_with_another_recipe_is_refused(artifact: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["recipe"]["name"] = "other"
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"manifest\.json was altered"):
        Artifact.open(artifact)


def test_another_format_is_refused(artifact: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    (artifact / "manifest.json").write_text(json.dumps({**manifest, "format": FORMAT + 1}))
    with pytest.raises(ArtifactError, match=f"format {FORMAT + 1}, and this version reads format {FORMAT}"):
        Artifact.open(artifact)


def test_a_lock_file_is_no_damage(artifact: Path) -> None:
    (artifact / "part" / ".lock").write_text("")
    assert Artifact.open(artifact).folder == artifact


@pytest.mark.parametrize("name", ["nowhere", "file", "file/below"])
def test_where_no_artifact_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="there is no artifact"):
        Artifact.open(tmp_path / name)


def refuse(number: int) -> Any:
    def write(*_: Any, **__: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return write


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("moment", ["building", "manifest"])
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, number: int, moment: str
) -> None:
    path = tmp_path / "model"
    if there:
        Artifact.write(path, build, {})
    before = content(tmp_path)

    def half(folder: Path) -> None:
        build(folder)
        if moment == "building":
            refuse(number)()
        monkeypatch.setattr(Path, "write_text", refuse(number))

    with pytest.raises(ArtifactError, match="disk is full"):
        Artifact.write(path, half, {})
    monkeypatch.undo()
    assert content(tmp_path) == before
    assert os.listdir(tmp_path) == ["model"] * there


def test_a_failed_sync_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(ArtifactError, match="nothing was changed"):
        Artifact.write(tmp_path / "model", build, {})
    assert os.listdir(tmp_path) == []


def test_a_failed_rename_puts_the_old_artifact_back(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(artifact)
    rename = Path.rename

    def second_fails(self: Path, target: Path) -> Path:
        if target == artifact and not self.name.endswith(".old"):
            refuse(errno.EIO)()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(ArtifactError, match="cannot be written"):
        Artifact.write(artifact, build, {})
    assert content(artifact) == before
    assert os.listdir(artifact.parent) == ["model"]


def test_an_error_of_the_writer_passes_and_leaves_nothing(artifact: Path) -> None:
    before = content(artifact)

    def fail(folder: Path) -> NoReturn:
        (folder / "half").write_text("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Artifact.write(artifact, fail, {})
    assert content(artifact) == before
    assert os.listdir(artifact.parent) == ["model"]


def test_what_is_no_artifact_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_text("cat")
    (tmp_path / "file").write_text("text")
    for path in (folder, tmp_path / "file"):
        with pytest.raises(ArtifactError, match="is no artifact"):
            Artifact.write(path, build, {})
    with pytest.raises(ArtifactError, match="cannot be written"):
        Artifact.write(tmp_path / "file" / "model", build, {})
    assert content(tmp_path) == {"photos/cat.jpg": b"cat", "file": b"text"}
