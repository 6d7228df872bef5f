import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.core import Dataset, Histories, IdMap
from twofold.core.config import build
from twofold.core.errors import ConfigError, DataError
from twofold.data.splitting import Cases, Split, protocol, split

Row = tuple[int, int, int, float]


def dataset_of(events: list[Row], users: int = 4, items: int = 10) -> Dataset:
    """Make a dataset from rows of user, item, time, value."""
    columns = [np.array(column) for column in zip(*events, strict=True)] or [np.empty(0, int)] * 4
    user, item, time, value = columns
    return Dataset(
        item_ids=IdMap(pl.Series(np.arange(items))),
        user_ids=IdMap(pl.Series(np.arange(users))),
        items=pl.DataFrame({"item": np.arange(items)}),
        users=pl.DataFrame({"user": np.arange(users)}),
        log=Histories.from_events(user, item, value.astype(np.float32), time, size=users),
    )


def lists(histories: Histories) -> list[list[int]]:
    return [histories.row(row).items.tolist() for row in range(len(histories))]


TEN: list[Row] = [
    (0, 0, 10, 1.0),
    (0, 1, 20, 1.0),
    (1, 0, 30, 1.0),
    (1, 2, 40, -1.0),
    (0, 2, 50, 1.0),
    (2, 3, 60, 1.0),
    (0, 3, 70, 1.0),  # from here the newest four of ten
    (0, 0, 80, 1.0),  # had already
    (1, 4, 90, -1.0),  # a dislike
    (0, 4, 100, 1.0),
]


def test_global_time_rolling_by_hand() -> None:
    train, cases = split(dataset_of(TEN), Split(test=0.4))
    assert lists(train.log) == [[0, 1, 2], [0, 2], [3], []]
    assert cases.users.tolist() == [0, 0]
    assert lists(cases.targets) == [[3], [4]]
    assert lists(cases.histories) == [[0, 1, 2], [0, 1, 2, 3, 0]]
    assert cases.histories.timestamps.tolist() == [10, 20, 50, 10, 20, 50, 70, 80]
    assert cases.targets.timestamps.tolist() == [70, 100]


def test_global_time_frozen_by_hand() -> None:
    _, cases = split(dataset_of(TEN), Split(test=0.4, history="frozen"))
    assert cases.users.tolist() == [0]
    assert lists(cases.targets) == [[3, 4]]
    assert lists(cases.histories) == [[0, 1, 2]]


def test_queries_of_later_times_are_no_part_of_the_train_part() -> None:
    queries = pl.DataFrame({"text": ["old", "new", "judged"], "item": [0, 1, 2], "timestamp": [69, 70, None]})
    train, _ = split(dataset_of(TEN).with_queries(queries), Split(test=0.4))
    assert train.queries["text"].to_list() == ["old", "judged"]


def test_events_of_one_moment_are_on_one_side() -> None:
    events = [(0, 0, 10, 1.0), (1, 1, 10, 1.0), (0, 2, 20, 1.0), (1, 3, 20, 1.0), (2, 4, 20, 1.0)]
    train, cases = split(dataset_of(events), Split(test=0.2))
    assert lists(train.log) == [[0], [1], [], []]
    assert lists(cases.targets) == [[2], [3], [4]]
    assert lists(cases.histories) == [[0], [1], []]


def test_events_of_one_moment_are_no_evidence_for_each_other_and_keep_the_order_of_the_file() -> None:
    events = [(1, 9, 1, 1.0), (0, 5, 7, 1.0), (0, 2, 7, 1.0), (0, 8, 7, 1.0), (0, 1, 8, 1.0)]
    _, cases = split(dataset_of(events), Split(test=0.6))
    assert lists(cases.targets) == [[5], [2], [8], [1]]
    assert lists(cases.histories) == [[], [], [], [5, 2, 8]]
    _, cases = split(dataset_of(events[:-1]), Split(kind="leave-one-out"))
    assert (lists(cases.histories), lists(cases.targets)) == ([[5, 2]], [[8]])


def test_the_cutoff_leaves_something_to_learn_from() -> None:
    events = [(0, item, 5, 1.0) for item in range(8)] + [(0, 9, 6, 1.0)]
    train, cases = split(dataset_of(events), Split(test=0.5))
    assert lists(train.log)[0] == list(range(8))
    assert lists(cases.targets) == [[9]]


def test_targets_of_a_user_are_spread_evenly() -> None:
    events = [(0, 0, 0, 1.0), *((0, item, item, 1.0) for item in range(1, 9)), (1, 3, 8, 1.0)]
    _, cases = split(dataset_of(events), Split(test=0.9, targets_per_user=4))
    assert lists(cases.targets) == [[2], [4], [6], [8], [3]]
    assert lists(cases.histories)[1] == [0, 1, 2, 3], "what is between the chosen targets is still known"


def test_short_histories_are_left_out() -> None:
    _, cases = split(dataset_of(TEN), Split(test=0.4, min_history=4))
    assert lists(cases.targets) == [[4]]
    _, cases = split(dataset_of(TEN), Split(test=0.4, min_history=4, history="frozen"))
    assert len(cases) == 0


def test_leave_one_out_by_hand() -> None:
    events = [
        (0, 0, 1, 1.0), (0, 1, 2, 1.0), (0, 2, 2, 1.0),  # the last
        (1, 3, 1, 1.0), (1, 4, 2, 0.5), (1, 5, 3, -1.0),  # the last like; what comes after it is dropped
        (2, 6, 1, 1.0),  # one event: nothing to find
        (3, 7, 1, 1.0), (3, 8, 2, 1.0), (3, 7, 3, 1.0),  # the last is a repeat
    ]  # fmt: skip
    train, cases = split(dataset_of(events), Split(kind="leave-one-out"))
    assert cases.users.tolist() == [0, 1, 3]
    assert lists(cases.targets) == [[2], [4], [8]]
    assert lists(cases.histories) == [[0, 1], [3], [7]]
    assert lists(train.log) == [[0, 1], [3], [6], [7]]


def test_a_user_without_a_later_like_stays_in_the_train_part() -> None:
    train, cases = split(dataset_of([(0, 0, 1, 1.0), (0, 1, 2, -1.0)]), Split(kind="leave-one-out"))
    assert len(cases) == 0
    assert lists(train.log)[0] == [0, 1]


def test_strong_generalisation_by_hand() -> None:
    events = [(user, item, item, 1.0) for user in range(4) for item in range(5)]
    train, cases = split(dataset_of(events), Split(kind="strong-generalisation", test=0.5))
    held = cases.users.tolist()
    assert len(held) == 2
    assert lists(cases.histories) == [[0, 1, 2, 3]] * 2
    assert lists(cases.targets) == [[4]] * 2
    assert [bool(row) for row in lists(train.log)] == [user not in held for user in range(4)]


def test_strong_generalisation_follows_the_seed() -> None:
    events = [(user, item, item, 1.0) for user in range(40) for item in range(3)]
    data = dataset_of(events, users=40)
    chosen = {tuple(split(data, Split(kind="strong-generalisation", seed=seed))[1].users) for seed in (0, 0, 1, 2)}
    assert len(chosen) == 3


def test_splitting_the_train_part_again_gives_a_validation_part() -> None:
    events = [(0, item, item, 1.0) for item in range(10)]
    for options, wanted in ((Split(), [8]), (Split(kind="leave-one-out"), [8])):
        train, _ = split(dataset_of(events), options)
        inner, cases = split(train, options)
        assert lists(cases.targets) == [wanted]
        assert lists(inner.log)[0] == list(range(8))


def test_equal_times_cannot_be_split_by_time() -> None:
    events = [(0, item, 0, 1.0) for item in range(5)]
    with pytest.raises(DataError, match="leave-one-out"):
        split(dataset_of(events))
    assert lists(split(dataset_of(events), Split(kind="leave-one-out"))[1].targets) == [[4]]


@pytest.mark.parametrize("kind", ["global-time", "leave-one-out", "strong-generalisation"])
def test_nothing_splits_into_nothing(kind: str) -> None:
    options = build(Split, {"kind": kind}, "split")
    data = dataset_of([])
    train, cases = split(data, options)
    assert len(train.log.items) == len(cases) == 0
    assert protocol(options, data, cases)["cases"] == 0


def test_allowed_hides_the_history_only() -> None:
    _, cases = split(dataset_of(TEN), Split(test=0.4))
    allowed = cases.allowed(10)
    assert np.flatnonzero(~allowed[0]).tolist() == [0, 1, 2]
    assert np.flatnonzero(~allowed[1]).tolist() == [0, 1, 2, 3]


def test_take_keeps_rows_together() -> None:
    _, cases = split(dataset_of(TEN), Split(test=0.4))
    turned = cases.take(np.array([1, 0, 1]))
    assert lists(turned.targets) == [[4], [3], [4]]
    assert lists(turned.histories)[1] == [0, 1, 2]
    assert turned.users.tolist() == [0, 0, 0]


def test_cases_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="a row for each case"):
        Cases(users=np.zeros(2, np.int32), histories=Histories.empty(2), targets=Histories.empty(1))


def test_protocol_by_hand() -> None:
    day = 86_400_000
    events = [(0, 0, day, 1.0), (0, 1, 2 * day, 1.0), (1, 2, 3 * day, 1.0), (0, 2, 3 * day, 1.0)]
    data = dataset_of(events)
    options = Split(test=0.5)
    card = protocol(options, data, split(data, options)[1])
    assert card == {
        "split": "global-time",
        "test": 0.5,
        "history": "rolling",
        "cutoff": "1970-01-04T00:00:00.000+00:00",
        "targets_per_user": 20,
        "min_history": 0,
        "seed": 0,
        "train_events": 2,
        "cases": 2,
        "users": 2,
        "targets": 2,
        "cold_users": 1,
        "cold_cases": 1,
        "cold_item_targets": 2,
    }


@pytest.mark.parametrize(
    "wrong", [{"test": 0.0}, {"test": 1.0}, {"targets_per_user": 0}, {"min_history": -1}, {"kind": "leave-one-oot"}]
)
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        build(Split, wrong, "split")
    with pytest.raises(ValueError, match=r"test between|did you mean 'leave-one-out'"):
        Split(**wrong)


EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 12), st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])),
    max_size=60,
)
OPTIONS = st.builds(
    Split,
    kind=st.sampled_from(["global-time", "leave-one-out", "strong-generalisation"]),
    history=st.sampled_from(["rolling", "frozen"]),
    test=st.sampled_from([0.05, 0.3, 0.7, 0.99]),
    targets_per_user=st.integers(1, 5),
    min_history=st.integers(0, 2),
    seed=st.integers(0, 3),
)


def parts(events: list[Row], options: Split) -> tuple[Dataset, Dataset, Cases] | None:
    data = dataset_of(events)
    try:
        return (data, *split(data, options))
    except DataError:
        assert options.kind == "global-time"
        assert len({time for _, _, time, _ in events}) == 1
        return None


@given(EVENTS, OPTIONS)
def test_no_pair_is_on_both_sides(events: list[Row], options: Split) -> None:
    if found := parts(events, options):
        _, train, cases = found
        learned = set(zip(train.log.rows.tolist(), train.log.items.tolist(), strict=True))
        for case, user in enumerate(cases.users.tolist()):
            targets = cases.targets.row(case).items.tolist()
            assert targets
            assert len(set(targets)) == len(targets)
            assert not set(targets) & set(cases.histories.row(case).items.tolist())
            assert not {(user, item) for item in targets} & learned


@given(EVENTS, OPTIONS)
def test_no_evidence_is_newer_than_its_target(events: list[Row], options: Split) -> None:
    if found := parts(events, options):
        _, train, cases = found
        for case in range(len(cases)):
            history, targets = cases.histories.row(case), cases.targets.row(case)
            assert history.timestamps.max(initial=-1) <= targets.timestamps.min()
            assert (targets.values > 0).all()
            if options.kind == "global-time":
                assert history.timestamps.max(initial=-1) < targets.timestamps.min()
        if options.kind == "global-time" and len(cases):
            assert train.log.timestamps.max(initial=-1) < cases.targets.timestamps.min()


@given(EVENTS, OPTIONS)
def test_cases_are_pieces_of_their_users_log(events: list[Row], options: Split) -> None:
    if found := parts(events, options):
        data, train, cases = found
        for case, user in enumerate(cases.users.tolist()):
            whole, history = data.log.row(user), cases.histories.row(case)
            size = len(history.items)
            assert size >= options.min_history
            assert np.array_equal(history.items, whole.items[:size])
            assert np.array_equal(history.values, whole.values[:size])
            assert np.array_equal(history.timestamps, whole.timestamps[:size])
            assert set(cases.targets.row(case).items) <= set(whole.items[size:])
        for user in range(4):
            assert lists(train.log)[user] == lists(data.log)[user][: len(lists(train.log)[user])]
        assert train.item_ids is data.item_ids


@given(EVENTS, OPTIONS)
def test_a_split_is_the_same_again(events: list[Row], options: Split) -> None:
    first, second = parts(events, options), parts(events, options)
    if first and second:
        assert first[1].fingerprint() == second[1].fingerprint()
        assert first[2].users.tolist() == second[2].users.tolist()
        assert lists(first[2].histories) == lists(second[2].histories)
        assert lists(first[2].targets) == lists(second[2].targets)


@given(EVENTS)
def test_rolling_cases_are_thinned_frozen_ones_complete(events: list[Row]) -> None:
    every, few = (parts(events, Split(test=0.5, targets_per_user=count)) for count in (100, 2))
    frozen = parts(events, Split(test=0.5, history="frozen"))
    if every and few and frozen:
        assert np.bincount(few[2].users, minlength=4).tolist() == [
            min(count, 2) for count in np.bincount(every[2].users, minlength=4)
        ]
        assert sorted(frozen[2].targets.items.tolist()) == sorted(every[2].targets.items.tolist())
