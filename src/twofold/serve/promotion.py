"""Which artifact answers: a link that is changed by one atomic rename, and the way back."""

import os
import tempfile
from pathlib import Path

from twofold.core.artifact import Artifact
from twofold.core.errors import ArtifactError

__all__ = ["promote", "rollback"]


def promote(artifact: Path, link: Path) -> Artifact:
    """Let a link lead to another artifact; servers that follow the link change to it without a failed request.

    Where the link led before is kept beside it, for `rollback`.

    Args:
        artifact: a fitted pipeline; it is checked before anything changes.
        link: the link, made if it is missing.

    Raises:
        ArtifactError: the artifact is missing or damaged, or something that is no link is in the way.
    """
    found = Artifact.open(artifact.resolve())
    target = found.folder
    before = _target(link)
    if before == target:
        return found
    if before is not None:
        _point(previous(link), before)
    _point(link, target)
    return found


def rollback(link: Path) -> Artifact:
    """Let a link lead to the artifact before; a second time leads forward again.

    Raises:
        ArtifactError: there is none before, or it is missing or damaged by now.
    """
    before, now = _target(previous(link)), _target(link)
    if before is None or now is None:
        raise ArtifactError(f"{link} has led to no other artifact before; promote one with `twofold promote`.")
    found = Artifact.open(before)
    _point(link, before)
    _point(previous(link), now)
    return found


def previous(link: Path) -> Path:
    """Return the link that keeps where another one led before."""
    return link.with_name(f".{link.name}.previous")


def _target(link: Path) -> Path | None:
    """Return where a link leads, None where it is missing."""
    if link.is_symlink():
        return link.resolve()
    if link.exists():
        raise ArtifactError(f"{link} is no link; give another name, or move what is there.")
    return None


def _point(link: Path, target: Path) -> None:
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{link.name}.", dir=link.parent) as folder:
            fresh = Path(folder) / "link"
            fresh.symlink_to(os.path.relpath(target, link.parent.resolve()))
            # A relative link is read from where it stands, so it is renamed only after it was made for its new place.
            fresh.rename(link)
    except OSError as error:
        raise ArtifactError(f"{link} cannot be changed ({error.strerror}); check the folder above it.") from None
