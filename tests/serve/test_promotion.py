import os
import shutil
from pathlib import Path

import pytest

from twofold.core.errors import ArtifactError
from twofold.serve.promotion import promote, rollback


@pytest.fixture
def two(artifact: Path, tmp_path: Path) -> tuple[Path, Path]:
    for name in ("first", "second"):
        shutil.copytree(artifact, tmp_path / name)
    return tmp_path / "first", tmp_path / "second"


def test_a_link_leads_forth_and_back(two: tuple[Path, Path], tmp_path: Path) -> None:
    link = tmp_path / "served" / "current"
    for artifact in (two[0], two[1], two[1]):
        promote(artifact, link)
        assert link.resolve() == artifact.resolve()
    assert rollback(link).folder == two[0].resolve() == link.resolve()
    assert rollback(link).folder == two[1].resolve() == link.resolve()
    assert sorted(os.listdir(link.parent)) == [".current.previous", "current"]


def test_a_damaged_artifact_is_not_promoted(two: tuple[Path, Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    promote(two[0], link)
    next((two[1] / "dataset").glob("*.npy")).write_bytes(b"broken")
    with pytest.raises(ArtifactError):
        promote(two[1], link)
    assert link.resolve() == two[0].resolve()


def test_there_must_be_something_to_go_back_to(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no other artifact before"):
        rollback(tmp_path / "current")
    promote(two[0], tmp_path / "current")
    with pytest.raises(ArtifactError, match="no other artifact before"):
        rollback(tmp_path / "current")


def test_what_is_no_link_is_left_alone(two: tuple[Path, Path]) -> None:
    with pytest.raises(ArtifactError, match="is no link"):
        promote(two[0], two[1])
