import os
from pathlib import Path

import pytest

from twofold.core.threads import available_threads


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def group(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(content + "\n")
    return folder


@pytest.mark.parametrize(
    ("content", "threads"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 1),  # a second thread would be stopped half of the time
        ("50000 100000", 1),
        ("1600000 100000", 8),  # no more than the affinity allows
        ("damaged", 8),
    ],
)
def test_the_quota_bounds_the_threads(tmp_path: Path, content: str, threads: int) -> None:
    (tmp_path / "membership").write_text("0::/pod/app\n")
    group(tmp_path / "groups" / "pod" / "app", cpu_max=content)
    assert available_threads(tmp_path / "membership", tmp_path / "groups") == threads


def test_the_quota_of_a_group_around_counts(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/pod/app\n")
    group(tmp_path / "groups" / "pod" / "app", cpu_max="400000 100000")
    group(tmp_path / "groups" / "pod", cpu_max="300000 100000")
    assert available_threads(tmp_path / "membership", tmp_path / "groups") == 3


def test_version_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("9:memory:/x\n4:cpu,cpuacct:/app\n")
    folder = group(tmp_path / "groups" / "cpu,cpuacct" / "app", cpu_cfs_quota_us="250000", cpu_cfs_period_us="100000")
    assert available_threads(tmp_path / "membership", tmp_path / "groups") == 2
    (folder / "cpu.cfs_quota_us").write_text("-1")
    assert available_threads(tmp_path / "membership", tmp_path / "groups") == 8


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_threads(tmp_path / "none", tmp_path) == 8
