import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from twofold.core import Ladder, Rung
from twofold.core.errors import ArtifactError, ConfigError
from twofold.core.ladder import Setting


def rung(name: str, quality: float, milliseconds: float) -> Rung:
    return Rung(name=name, quality=quality, milliseconds=milliseconds, bytes=1)


BIG, MIDDLE, SMALL = rung("big", 0.7, 8.0), rung("middle", 0.71, 4.0), rung("small", 0.5, 1.0)
LADDER = Ladder(rungs=[BIG, MIDDLE, SMALL])


@pytest.mark.parametrize(
    ("milliseconds", "floor", "name"),
    [
        (100.0, 0.0, "middle"),  # the best, which is not the slowest here
        (4.0, 0.0, "middle"),  # a deadline is met when it is reached
        (3.9, 0.0, "small"),
        (0.1, 0.0, "small"),  # none meets it: the fastest
        (0.1, 0.6, "middle"),  # never below the floor
        (0.1, 0.71, "middle"),
    ],
)
def test_pick(milliseconds: float, floor: float, name: str) -> None:
    assert LADDER.pick(milliseconds, floor=floor).name == name


def test_a_floor_that_none_reaches_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"quality floor 0\.8"):
        LADDER.pick(100.0, floor=0.8)


def test_a_rung_that_saves_no_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="'same' is not faster than 'big'"):
        Ladder(rungs=[BIG, rung("same", 0.6, 8.0)])


def test_a_ladder_needs_a_rung() -> None:
    with pytest.raises(ConfigError, match="at least one rung"):
        Ladder(rungs=[])


def test_two_rungs_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="one name"):
        Ladder(rungs=[BIG, rung("big", 0.6, 1.0)])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    rungs = []
    for one in (BIG, SMALL):
        own = tmp_path / "rungs" / one.name / "onnx"
        own.mkdir(parents=True)
        (own / "model.onnx").write_bytes(one.name.encode())
        rungs.append(replace(one, folder=f"rungs/{one.name}", steps=("float32",), runtime="openvino", memory=7))
    Ladder(rungs=rungs, teacher=rung("torch", 0.7, 9.0), floor=0.5, machine={"cores": 2}, protocol={"k": [1]}).write(
        tmp_path
    )
    return tmp_path


def test_a_ladder_is_read_as_it_was_written(written: Path) -> None:
    ladder = Ladder.read(written)
    assert [one.name for one in ladder.rungs] == ["big", "small"]
    digest = hashlib.sha256(b"small").hexdigest()
    assert ladder.rungs[1].files == {"onnx/model.onnx": digest}
    assert ladder.rungs[1].steps == ("float32",)
    assert (ladder.rungs[1].memory, ladder.rungs[1].rate, ladder.rungs[1].runtime) == (7, None, "openvino")
    assert ladder.teacher == rung("torch", 0.7, 9.0)
    assert (ladder.floor, ladder.machine, ladder.protocol) == (0.5, {"cores": 2}, {"k": [1]})


def test_an_altered_or_missing_file_of_a_rung_is_refused(written: Path) -> None:
    file = written / "rungs" / "small" / "onnx" / "model.onnx"
    file.write_bytes(b"smell")
    with pytest.raises(ArtifactError, match=r"model\.onnx was altered"):
        Ladder.read(written)
    assert len(Ladder.read(written, check=False).rungs) == 2
    file.unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx is missing; make the ladder again"):
        Ladder.read(written)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda _: "[]", "is damaged"),
        (lambda text: text.replace('"quality": 0.5', '"quality": 0.9'), "was altered"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "has format 2, and this version reads format 1"),
    ],
)
def test_a_damaged_ladder_is_refused(written: Path, damage: Callable[[str], str], told: str) -> None:
    file = written / "ladder.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(ArtifactError, match=told):
        Ladder.read(written)


def test_a_missing_ladder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="make one with `twofold compress`"):
        Ladder.read(tmp_path)


def test_a_rung_cannot_lie_elsewhere(written: Path) -> None:
    with pytest.raises(ArtifactError, match="no folder inside"):
        Ladder(rungs=[replace(BIG, folder="../elsewhere")]).write(written)


def test_a_full_disk_leaves_the_old_ladder(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (written / "ladder.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        Ladder(rungs=[replace(BIG, folder="rungs/big")]).write(written)
    assert (written / "ladder.json").read_bytes() == before
    assert sorted(os.listdir(written)) == ["ladder.json", "rungs"]


def step(name: str, milliseconds: float, **settings: Setting) -> Rung:
    return Rung(name=name, quality=0.9, milliseconds=milliseconds, bytes=0, settings=settings)


def test_a_step_sets_what_was_measured_and_all_steps_the_same_stages() -> None:
    small = Ladder(rungs=[Rung(name="small", quality=0.9, milliseconds=1.0, bytes=1, folder="small")])
    top, low = step("top", 9.0, text=Setting(rung="")), step("low", 2.0, text=Setting(rung="small"))
    assert Ladder(rungs=[top, low], stages={"text": small}).rungs == [top, low]
    with pytest.raises(ConfigError, match=r"step 'low' sets 'text' to 'smal'; did you mean 'small'\?"):
        Ladder(rungs=[top, step("low", 2.0, text=Setting(rung="smal"))], stages={"text": small})
    with pytest.raises(ConfigError, match=r"step 'low' sets 'text' to 'small'"):
        Ladder(rungs=[top, low])
    with pytest.raises(ConfigError, match=r"step 'low' does not set the same stages as the one above it"):
        Ladder(rungs=[top, step("low", 2.0, text=Setting(rung="small"), fuse=Setting(depth=9))], stages={"text": small})
