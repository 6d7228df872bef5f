from pathlib import Path

import pytest

from twofold.core.errors import ConfigError
from twofold.serve.metrics import COUNT, MANY, tell_count, told_count
from twofold.serve.scaling import Scaling, wanted_seconds
from twofold.serve.settings import Settings


def changes(scaling: Scaling, count: int, busy: float, seconds: range) -> list[int]:
    return [scaling.change(count, busy, float(now)) for now in seconds]


def test_full_for_some_seconds_is_one_more() -> None:
    scaling = Scaling(1, 3)
    assert changes(scaling, 1, 0.7, range(100)) == [0] * 100
    assert changes(scaling, 1, 0.8, range(100, 105)) == [0, 0, 0, 1, 0]
    assert changes(scaling, 3, 2.9, range(200, 300)) == [0] * 100  # as many as there may be


def test_a_pause_begins_the_count_anew() -> None:
    scaling = Scaling(1, 2)
    busy = [0.9, 0.9, 0.5, 0.9, 0.9, 0.9, 0.9]
    assert [scaling.change(1, one, float(now)) for now, one in enumerate(busy)] == [0, 0, 0, 0, 0, 0, 1]


def test_calm_for_a_minute_is_one_less() -> None:
    scaling = Scaling(1, 2)
    found = changes(scaling, 2, 0.4, range(100))
    assert found.index(-1) == 60
    assert changes(scaling, 2, 0.6, range(200, 300)) == [0] * 100
    assert changes(scaling, 1, 0.0, range(300, 400)) == [0] * 100  # as few as there may be


@pytest.mark.parametrize("busy", [0.1, 0.5, 0.74, 0.76, 0.9, 1.4, 1.5, 1.6, 2.0, 2.9])
def test_a_steady_load_comes_to_rest(busy: float) -> None:
    scaling, count, history = Scaling(1, 4), 1, []
    for now in range(1_000):
        count += scaling.change(count, min(busy, count), float(now))
        history.append(count)
    assert len(set(history[500:])) == 1


def test_what_a_process_wanted_is_read_from_proc(tmp_path: Path) -> None:
    for thread, told in {"7": "2000000000 500000000 11\n", "8": "1000000 0 2\n", "9": ""}.items():
        (tmp_path / "7" / "task" / thread).mkdir(parents=True)
        (tmp_path / "7" / "task" / thread / "schedstat").write_text(told)
    assert wanted_seconds(7, tmp_path) == pytest.approx(2.501)
    assert wanted_seconds(8, tmp_path) == 0


def test_workers_know_how_many_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MANY, raising=False)
    assert told_count() == 1
    monkeypatch.setenv(MANY, str(tmp_path))
    assert told_count() == 1
    tell_count(3)
    assert told_count() == 3
    (tmp_path / COUNT).write_text("damaged")
    assert told_count() == 1


def test_no_more_workers_than_at_most() -> None:
    with pytest.raises(ConfigError, match="workers"):
        Settings(artifact=Path("a"), events=Path("b"), workers=3, most_workers=2)
