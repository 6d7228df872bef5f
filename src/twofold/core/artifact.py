"""`Artifact`: a folder on disk that is written whole or not at all, and checked when opened.

manifest.json    format, recipe, data hash, versions of packages, each file's size and sha256, and its own
…                whatever the writer put there: npy, Arrow, JSON; nothing that runs code
"""

import errno
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from twofold.core.errors import ArtifactError
from twofold.core.sealing import digest, sha256, sync

__all__ = ["FORMAT", "Artifact"]

FORMAT = 1
MANIFEST = "manifest.json"
PACKAGES = ("twofold", "numpy", "polars", "scipy", "tantivy", "implicit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A complete artifact on disk."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def write(cls, path: Path, build: Callable[[Path], None], description: Mapping[str, Any]) -> "Artifact":
        """Write an artifact: into a temporary folder beside it, synced, then renamed.

        An artifact that was at `path` is replaced. When anything fails, what was there stays and
        nothing half-written remains.

        Args:
            path: the artifact's folder.
            build: fills an empty folder.
            description: what the manifest says beside the files, such as `recipe` and `data`.

        Raises:
            ArtifactError: the folder cannot be written, or something that is no artifact is there.
        """
        if path.exists() and not (path / MANIFEST).is_file():
            raise ArtifactError(f"{path} exists and is no artifact; give another path or remove it.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        except OSError as error:
            raise ArtifactError(f"{path} cannot be written ({error.strerror}); check the folder above it.") from None
        try:
            build(temporary)
            manifest = {
                "format": FORMAT,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "packages": _versions(),
                **description,
                "files": {str(file.relative_to(temporary)): _seal(file) for file in _files(temporary)},
            }
            manifest = json.loads(json.dumps(manifest))  # as it will be read
            manifest["sha256"] = digest(manifest)
            _write_synced(temporary / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False))
            temporary.chmod(0o755)
            for folder in [temporary, *(p for p in temporary.rglob("*") if p.is_dir())]:
                sync(folder)
            _replace(temporary, path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ArtifactError(f"the disk is full, so {path} was not written; free some space.") from error
            raise ArtifactError(f"{path} cannot be written ({error}); nothing was changed.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(folder=path, manifest=manifest)

    @classmethod
    def open(cls, path: Path, *, check: bool = True) -> "Artifact":
        """Open an artifact and check every file against the manifest.

        Args:
            path: the artifact's folder.
            check: whether its files are read; without that, only the manifest is.

        Raises:
            ArtifactError: it is missing, of another format, or a file is missing, truncated or altered.
        """
        manifest = _read_manifest(path)
        if not check:
            return cls(folder=path, manifest=manifest)
        files: dict[str, dict[str, Any]] = manifest["files"]
        present = {str(file.relative_to(path)): file for file in _files(path)}
        for name, file in present.items():
            # A hidden file is the lock of a file system or a search engine; nothing is loaded from it.
            if name not in files and not file.name.startswith("."):
                raise ArtifactError(f"{file} is no part of the artifact; remove it, or fit the pipeline again.")
        for name, seal in files.items():
            if name not in present:
                raise ArtifactError(f"{path / name} is missing; fit the pipeline again.")
            size = present[name].stat().st_size
            if size != seal["bytes"]:
                raise ArtifactError(
                    f"{path / name} has {size} bytes instead of {seal['bytes']}; fit the pipeline again."
                )
            if sha256(present[name]) != seal["sha256"]:
                raise ArtifactError(f"{path / name} was altered; fit the pipeline again.")
        return cls(folder=path, manifest=manifest)


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of an artifact of this format that is as it was written."""
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        found, sound = manifest["format"], manifest.get("sha256") == digest(manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"there is no artifact at {path}; make one with `twofold fit`.") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{path / MANIFEST} is damaged; fit the pipeline again.") from None
    if found != FORMAT:
        raise ArtifactError(
            f"{path} has format {found}, and this version reads format {FORMAT}; fit the pipeline again."
        )
    if not sound:
        raise ArtifactError(f"{path / MANIFEST} was altered; fit the pipeline again.")
    return manifest


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _seal(file: Path) -> dict[str, Any]:
    sync(file)
    return {"bytes": file.stat().st_size, "sha256": sha256(file)}


def _write_synced(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    sync(file)


def _replace(temporary: Path, path: Path) -> None:
    """Put the new folder in place; a folder cannot be renamed over a full one, so the old one steps aside."""
    aside = temporary.with_name(temporary.name + ".old")
    if path.exists():
        path.rename(aside)
    try:
        temporary.rename(path)
    except OSError:
        if aside.exists():
            aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    sync(path.parent)


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
