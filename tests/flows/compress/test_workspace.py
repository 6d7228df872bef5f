import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.core.errors import ArtifactError, ConfigError
from twofold.flows.compress.workspace import Workspace

HOLD = """
import sys
from pathlib import Path
from twofold.flows.compress.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]), "one")
workspace.path("rungs", "half").with_name(".half").mkdir()
print("held", flush=True)
sys.stdin.read()
"""


def write(folder: Path) -> None:
    (folder / "model").write_text("whole")


def test_a_second_run_in_one_folder_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another `twofold compress` is at work in"):
            Workspace(tmp_path, "one")
        other.kill()
    with Workspace(tmp_path, "one"):  # the lock went with the process, and so does what was half done
        assert list((tmp_path / "rungs").iterdir()) == []


def test_what_is_finished_is_found_again(tmp_path: Path) -> None:
    with Workspace(tmp_path, "one") as workspace:
        workspace.make("rungs", "int8 static", write)
        assert workspace.done("rungs", "int8 static") is None  # not yet noted
        workspace.note("rungs", "int8 static", {"seconds": 3})
        workspace.note("rungs", "int4", {"refused": "too poor"})
    with Workspace(tmp_path, "one") as workspace:
        assert workspace.done("rungs", "int8 static") == {"seconds": 3}
        assert (workspace.path("rungs", "int8 static") / "model").read_text() == "whole"
        assert workspace.done("rungs", "int4") == {"refused": "too poor"}
        assert workspace.done("rungs", "other") is None


def test_another_run_and_anothers_folder_are_refused(tmp_path: Path) -> None:
    Workspace(tmp_path / "a", "one").close()
    with pytest.raises(ConfigError, match="another model, other data or other options"):
        Workspace(tmp_path / "a", "two")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else already"):
        Workspace(tmp_path / "b", "one")
    assert (tmp_path / "b" / "thesis.txt").exists()
    Workspace(tmp_path / "a", "one").close()  # a refusal has given the lock back


def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        (folder / "model").write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    with Workspace(tmp_path, "one") as workspace:
        workspace.make("rungs", "int8", write)
        with pytest.raises(ArtifactError, match=r"the disk is full.*run the same again, what is finished is kept"):
            workspace.make("rungs", "int8", full)
        assert (workspace.path("rungs", "int8") / "model").read_text() == "whole"
        assert os.listdir(tmp_path / "rungs") == ["int8"]


def test_scratch_outlives_a_failure_and_not_a_success(tmp_path: Path) -> None:
    with Workspace(tmp_path, "one") as workspace:
        with pytest.raises(ZeroDivisionError), workspace.scratch("student") as folder:
            (folder / "checkpoint").write_text(str(1 / (folder / "checkpoint").write_text("")))
        with workspace.scratch("student") as folder:
            assert (folder / "checkpoint").exists()
        assert not folder.exists()
