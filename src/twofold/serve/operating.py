"""What operators do: look at the artifact that answers, let another one answer, and go back."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from twofold.core.artifact import Artifact
from twofold.core.errors import ArtifactError
from twofold.serve.asking import Answering
from twofold.serve.problems import Refusal
from twofold.serve.promotion import previous, promote, rollback
from twofold.serve.wire import About, Candidate, Candidates, Promoted

__all__ = ["about_artifact", "find_artifact", "list_artifacts", "promote_artifact", "roll_back"]

log = logging.getLogger("twofold.serve")

MOST = 100
"""Artifacts that are listed."""


def about_artifact(answering: Answering) -> About:
    """Return what the manifest and the data of an artifact say of it."""
    live, manifest = answering.live, answering.about
    return About(
        artifact=live.name,
        created=manifest["created"],
        data=manifest["data"],
        recipe=manifest["recipe"],
        packages=manifest["packages"],
        cleaning=live.pipeline.dataset.provenance,
        quality=manifest.get("quality"),
    )


def list_artifacts(link: Path) -> Candidates:
    """Return the artifacts that lie beside the one that answers, or beside the link that leads to it."""
    found = sorted(_beside(link), key=lambda one: str(one.manifest["created"]), reverse=True)
    before = previous(link)
    return Candidates(
        artifacts=[_candidate(artifact) for artifact in found[:MOST]],
        current=link.resolve().name,
        previous=before.resolve().name if before.is_symlink() else None,
        linked=link.is_symlink(),
    )


def promote_artifact(link: Path, folder: str) -> Promoted:
    """Let the link lead to one of the artifacts that `list_artifacts` names.

    Raises:
        Refusal: there is no such artifact, the server follows no link, or the artifact cannot be used.
    """
    _check_link(link)
    try:
        found = promote(find_artifact(link, folder), link)
    except ArtifactError as error:
        raise Refusal(422, str(error)) from error
    log.warning("artifact %s was promoted over HTTP", found.folder)
    return _promoted(found)


def find_artifact(link: Path, folder: str) -> Path:
    """Return where one of the artifacts is that `list_artifacts` names.

    Raises:
        Refusal: there is no such artifact.
    """
    # The name is only compared: what a request says never becomes a path.
    for artifact in _beside(link):
        if artifact.folder.name == folder:
            return artifact.folder
    raise Refusal(404, f"there is no artifact {folder!r} beside the one that answers; /artifacts lists them.")


def roll_back(link: Path, artifact: str) -> Promoted:
    """Let the link lead to the artifact before.

    Args:
        link: the one that the server follows.
        artifact: what answers now, as whoever asks believes.

    Raises:
        Refusal: something else answers by now, the server follows no link, or there is nothing to go back to.
    """
    _check_link(link)
    try:
        if _candidate(Artifact.open(link.resolve(), check=False)).artifact != artifact:
            raise Refusal(409, "another artifact answers by now; look again before you roll back.")
        found = rollback(link)
    except ArtifactError as error:
        raise Refusal(422, str(error)) from error
    log.warning("rolled back to artifact %s over HTTP", found.folder)
    return _promoted(found)


def _check_link(link: Path) -> None:
    if not link.is_symlink():
        raise Refusal(
            422, "this server was given an artifact and follows no link; give it the link that `twofold promote` sets."
        )


def _beside(link: Path) -> Iterator[Artifact]:
    """Yield the artifacts in the folders of the link and of what it leads to; those that are damaged are left out."""
    seen = set()
    for parent in dict.fromkeys((link.resolve().parent, link.absolute().parent.resolve())):
        for folder in sorted(parent.iterdir()):
            if folder.is_symlink() or folder.name.startswith(".") or not folder.is_dir() or folder.name in seen:
                continue
            with suppress(ArtifactError):
                seen.add(folder.name)
                yield Artifact.open(folder, check=False)


def _candidate(artifact: Artifact) -> Candidate:
    manifest = artifact.manifest
    return Candidate(
        folder=artifact.folder.name,
        artifact=manifest["sha256"][:12],
        created=manifest["created"],
        recipe=str(manifest.get("recipe", {}).get("name", "")),
    )


def _promoted(artifact: Artifact) -> Promoted:
    return Promoted(folder=artifact.folder.name, artifact=artifact.manifest["sha256"][:12])
