"""What every event store must do; each is put through the same tests."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold.core import Event
from twofold.core.errors import StoreError
from twofold.evaluate import cluster_mean
from twofold.events import Assignment, EventStore, LoggedSlate, MemoryStore, SqlStore, Tally

Make = Callable[[], EventStore]


def click(item: int, user: str | int | None = "ann", **more: object) -> Event:
    return Event(kind="click", item=item, user=user, **more)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    store = MemoryStore() if request.param == "memory" else SqlStore(tmp_path / "events.db")
    yield store
    store.close()


def test_events_come_back_as_they_went_in_and_in_order(store: EventStore) -> None:
    events = [
        click(1, slate="s", value=0.5, timestamp=7),
        Event(kind="item", item="07", attributes={"title": "“墨”", "year": 1990, "tags": ["a", None]}),
        Event(kind="user-removed", user=2**70),
    ]
    assert store.append(events[:2]) == 2
    assert store.append(events[2:]) == 1
    assert [stored.event for stored in store.read()] == events
    offsets = [stored.offset for stored in store.read()]
    assert offsets == sorted(set(offsets))
    assert store.end() == offsets[-1]


def test_a_repeated_event_changes_nothing(store: EventStore) -> None:
    first = click(1, id="same")
    assert store.append([first, click(2, id="same")]) == 1
    assert store.append([click(3, id="same"), click(4)]) == 1
    assert [stored.event.item for stored in store.read()] == [1, 4]


def test_reading_goes_on_behind_an_offset(store: EventStore) -> None:
    assert (store.read(), store.end()) == ([], 0)
    store.append([click(item) for item in range(5)])
    first = store.read(limit=2)
    assert [stored.event.item for stored in first] == [0, 1]
    assert [stored.event.item for stored in store.read(first[-1].offset)] == [2, 3, 4]
    assert store.read(store.end()) == []


def test_the_newest_events_of_a_user_are_found_however_the_id_is_typed(store: EventStore) -> None:
    store.append([click(1, 5), click(2, "6"), click(3, "5"), click(4, None), click(5, 5)])
    assert [stored.event.item for stored in store.of_user("5")] == [1, 3, 5]
    assert [stored.event.item for stored in store.of_user(5, limit=2)] == [3, 5]
    assert store.of_user("None") == []


def test_events_that_answer_a_slate_are_found(store: EventStore) -> None:
    store.append([click(1, slate="a"), click(2, slate="b"), click(3, slate="a")])
    assert [stored.event.item for stored in store.of_slate("a")] == [1, 3]
    assert store.of_slate("a", limit=1)[0].event.item == 1


def test_a_store_says_whether_something_may_have_come(store: EventStore) -> None:
    store.changed()
    assert not store.changed()
    store.append([click(1)])
    assert store.changed()
    assert not store.changed()
    if isinstance(store, SqlStore):
        other = SqlStore(store.path)
        store.changed()
        other.append([click(2)])
        assert store.changed()
        other.close()
    store.close()


def test_nothing_is_stored_where_nothing_is_given(store: EventStore) -> None:
    assert store.append([]) == 0
    assert store.end() == 0


def test_threads_lose_and_double_nothing(store: EventStore) -> None:
    shared = [click(item, id=f"both-{item}") for item in range(20)]

    def write(name: str) -> None:
        for item in range(20):
            store.append([click(item, id=f"{name}-{item}"), shared[item]])

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.read()) == len({stored.event.id for stored in store.read()}) == 60


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
EVENTS = st.builds(
    Event,
    kind=st.sampled_from(["click", "rating", "item"]),
    item=TEXTS | st.integers(),
    user=st.none() | TEXTS,
    value=st.floats(allow_nan=False, allow_infinity=False),
    attributes=st.none() | st.dictionaries(TEXTS, st.none() | st.booleans() | TEXTS, max_size=2),
    id=st.sampled_from("abcdefgh"),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(EVENTS, max_size=4), max_size=4))
def test_the_twins_cannot_be_told_apart(tmp_path: Path, batches: list[list[Event]]) -> None:
    path = tmp_path / "twin.db"
    for leftover in tmp_path.glob("twin.db*"):
        leftover.unlink()
    twin, store = MemoryStore(), SqlStore(path)
    assert [store.append(batch) for batch in batches] == [twin.append(batch) for batch in batches]
    assert [stored.event for stored in store.read()] == [stored.event for stored in twin.read()]
    store.close()


def test_what_was_acknowledged_outlasts_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from twofold.core import Event; from twofold.events import SqlStore;"
        "store = SqlStore(Path(sys.argv[1])); store.append([Event(kind='click', item=1, id='kept')]);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "events.db")], check=False)
    assert done.returncode == -9
    store = SqlStore(tmp_path / "events.db")
    assert [stored.event.id for stored in store.read()] == ["kept"]
    store.close()


def test_a_reader_follows_two_writing_processes_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    code = (
        "import sys; from pathlib import Path; from twofold.core import Event; from twofold.events import SqlStore;"
        "store = SqlStore(Path(sys.argv[1]));"
        "[store.append([Event(kind='click', item=item, id=f'a-{item}')]) for item in range(8)]; store.close()"
    )
    store, own = SqlStore(path), SqlStore(path)
    other = subprocess.Popen([sys.executable, "-c", code, str(path)])
    seen, after, left = [], 0, list(range(8))
    while other.poll() is None or store.end() > after or (seen and left):
        for stored in store.read(after, limit=3):
            seen.append(stored.event.id)
            after = stored.offset
        if seen and left:  # the other process is in the midst of its events
            own.append([click(left[0], id=f"b-{left.pop(0)}")])
    assert other.returncode == 0
    assert seen == [stored.event.id for stored in store.read()]
    assert sorted(seen) == sorted(f"{name}-{item}" for name in "ab" for item in range(8))
    store.close()
    own.close()


def test_commits_are_synced_to_the_disk(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "events.db")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    store.close()


def test_files_that_are_no_store_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, and long enough to have a head" * 9)
    with sqlite3.connect(tmp_path / "newer") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(StoreError, match=r"text cannot be opened .*check the file"):
        SqlStore(tmp_path / "text")
    with pytest.raises(StoreError, match="version 7, not 1"):
        SqlStore(tmp_path / "newer")
    with pytest.raises(StoreError, match="cannot be opened"):
        SqlStore(tmp_path / "nowhere" / "events.db")


def test_events_are_found_by_how_their_ids_begin(store: EventStore) -> None:
    ids = ["a/1", "a/", "b/1", "a/\U0010ffff", "a", "a0", "A/1"]
    store.append([click(item, id=id_) for item, id_ in enumerate(ids)])
    assert [stored.event.id for stored in store.of_ids("a/")] == ["a/1", "a/", "a/\U0010ffff"]
    assert [stored.event.id for stored in store.of_ids("a/", limit=1)] == ["a/1"]


def served(id_: str, unit: str, arm: str, *, experiment: str = "e", user: str | int | None = "ann") -> LoggedSlate:
    one = Assignment(experiment=experiment, arm=arm, unit=unit, propensity=0.5)
    return LoggedSlate(id=id_, timestamp=7, items=[1, "x", 2**70], artifact="a", user=user, rung="r", arms=(one,))


def test_slates_come_back_as_they_were_served_each_once(store: EventStore) -> None:
    slates = [served("s", "u", "new"), LoggedSlate(id="t", timestamp=8, items=(), artifact="a")]
    assert store.log(slates) == 2
    assert store.log([slates[0], served("v", "u", "new")]) == 1
    assert store.log([]) == 0
    found = store.slates()
    assert [slate.id for _, slate in found] == ["s", "t", "v"]
    assert list(found[0][1].items) == [1, "x", 2**70]
    assert found[0][1].arms[0] == slates[0].arms[0]
    assert [slate.id for _, slate in store.slates(found[0][0], limit=1)] == ["t"]
    assert store.read() == []


def test_an_experiment_is_summed_up_by_unit(store: EventStore) -> None:
    store.log([served("a", "u", "new"), served("b", "u", "new"), served("c", "v", "new"), served("d", "w", "old")])
    store.log([served("e", "u", "new", experiment="other")])
    store.append([click(1, slate="a"), click(2, slate="a"), click(1, slate="e"), click(1, slate="nobody's")])
    store.append([Event(kind="rating", item=1, value=3.0, slate="b"), Event(kind="impression", item=1, slate="d")])
    store.append([Event(kind="dislike", item=1, slate="c"), Event(kind="purchase", item=1, value=0.5, slate="d")])
    positive = {"click": 0.0, "purchase": 0.0, "rating": 3.0}
    assert store.tally("e", positive) == [
        Tally(arm="new", units=2, slates=3, positive=1, total=0.5, squares=0.25),
        Tally(arm="old", units=1, slates=1, positive=1, total=1.0, squares=1.0),
    ]
    store.append([Event(kind="rating", item=1, value=3.5, slate="b")])
    assert store.tally("e", positive)[0] == Tally(arm="new", units=2, slates=3, positive=2, total=1.0, squares=1.0)
    assert store.tally("nothing", positive) == []


def test_the_mean_of_a_tally_is_the_mean_over_users_of_the_evaluation(store: EventStore) -> None:
    rng = np.random.default_rng(3)
    users, hits = rng.integers(30, size=200), rng.random(200) < 0.3
    store.log([served(str(slate), str(user), "new") for slate, user in enumerate(users)])
    store.append([click(1, slate=str(slate)) for slate in np.flatnonzero(hits)])
    (tally,) = store.tally("e", {"click": 0.0})
    assert tally.total / tally.units == pytest.approx(cluster_mean(hits, users))


def test_text_is_data_and_never_sql(store: EventStore) -> None:
    hostile = "'; DROP TABLE events; --"
    store.append([click(1, hostile, slate=hostile, id=hostile)])
    assert [stored.event.id for stored in store.of_user(hostile)] == [hostile]
    assert store.end() == 1
