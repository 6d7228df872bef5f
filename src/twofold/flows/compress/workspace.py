"""`Workspace`: the folder of a run. What is finished stays in it, so that a killed run goes on; one run at a time.

run.json           which run this is
.lock              held by the run, by the operating system, so that it ends with the process
bodies/NAME/       networks in float32
rungs/NAME/        variants, what a stage reads, and beside it NAME.json, what was measured
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from twofold.core.errors import ArtifactError, ConfigError
from twofold.core.sealing import replace_file

__all__ = ["Workspace"]

RUN, LOCK = "run.json", ".lock"


class Workspace:
    """The folder of a run, locked; see the module.

    Args:
        folder: made where it is not there.
        fingerprint: of the run; a folder with another run's is refused.

    Raises:
        ConfigError: another process uses the folder, or it belongs to another run.
        ArtifactError: it cannot be written.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        with _told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        try:
            with _told(folder):
                self._check(fingerprint)
                for part in ("bodies", "rungs"):
                    (folder / part).mkdir(exist_ok=True)
                    for half in (folder / part).glob(".*"):  # a run was killed here
                        shutil.rmtree(half, ignore_errors=True)
        except BaseException:
            self.close()
            raise

    def _check(self, fingerprint: str) -> None:
        file = self.folder / RUN
        if file.is_file():
            try:
                found = json.loads(file.read_text(encoding="utf-8"))["fingerprint"]
            except (ValueError, KeyError, TypeError):
                found = None
            if found != fingerprint:
                raise ConfigError(
                    f"{self.folder} belongs to a run with another model, other data or other options; "
                    "give another folder, or remove this one."
                )
        elif any(child.name != LOCK for child in self.folder.iterdir()):
            raise ConfigError(f"{self.folder} holds something else already; give an empty folder or a new one.")
        else:
            replace_file(file, json.dumps({"fingerprint": fingerprint}) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the folder free."""
        os.close(self._lock)

    def path(self, part: str, name: str) -> Path:
        """Return where a body or a variant lies."""
        return self.folder / part / name.replace(" ", "-")

    def done(self, part: str, name: str) -> dict[str, Any] | None:
        """Return what was noted about a finished body or variant; nothing where it is not finished."""
        path = self.path(part, name)
        try:
            noted: dict[str, Any] = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return noted if path.is_dir() or noted.get("refused") else None

    def make(self, part: str, name: str, build: Callable[[Path], None]) -> Path:
        """Fill a folder, whole or not at all, and return it; one that is there is replaced.

        Raises:
            ArtifactError: the disk is full, or cannot be written; what was there stays.
        """
        path = self.path(part, name)
        half = path.with_name(f".{path.name}")
        with _told(path):
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            try:
                build(half)
                if path.exists():
                    shutil.rmtree(path)
                half.rename(path)
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return path

    def note(self, part: str, name: str, noted: dict[str, Any]) -> None:
        """Write down what is known of a body or a variant; with that it is finished.

        Raises:
            ArtifactError: as `make`.
        """
        path = self.path(part, name)
        with _told(path):
            replace_file(path.with_name(f"{path.name}.json"), json.dumps(noted, indent=1, ensure_ascii=False) + "\n")

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Give a folder that outlives a kill, and is removed at the end."""
        path = self.path("scratch", name)
        with _told(path):
            path.mkdir(parents=True, exist_ok=True)
        yield path
        shutil.rmtree(path, ignore_errors=True)


def _locked(folder: Path) -> int:
    """Open the lock of a folder and hold it, as long as the handle is open."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl  # noqa: PLC0415  not on Windows, where nothing is locked
    except ImportError:
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise ConfigError(
            f"another `twofold compress` is at work in {folder}; wait for it, or give another folder."
        ) from None
    return handle


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a sentence."""
    try:
        yield
    except ArtifactError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArtifactError(
                f"the disk is full, so {path} was not written; free some space and run the same again, "
                "what is finished is kept."
            ) from error
        raise ArtifactError(f"{path} cannot be written ({error.strerror or error}); check the folder.") from error
