import numpy as np
import pytest

from twofold.core import Dataset
from twofold.data.simulate import SPAN, START, Simulation, Truth, simulate

SMALL = Simulation(users=60, items=80, events=1_500)


@pytest.fixture(scope="module")
def world() -> tuple[Dataset, Truth]:
    return simulate(Simulation(seed=3))


def ndcg(scores: np.ndarray, targets: np.ndarray) -> float:
    """NDCG@10 of one target a row."""
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float(((top == targets[:, None]) / np.log2(np.arange(2, 12))).sum(axis=1).mean())


def test_equal_options_give_equal_data() -> None:
    first, second = simulate(SMALL), simulate(SMALL)
    other = simulate(Simulation(users=60, items=80, events=1_500, seed=1))
    assert first[0].fingerprint() == second[0].fingerprint()
    assert np.array_equal(first[1].preferences, second[1].preferences)
    assert other[0].fingerprint() != first[0].fingerprint()


def test_shapes_ids_and_columns() -> None:
    dataset, truth = simulate(SMALL)
    assert dataset.item_ids.decode([42]) == ["item-00042"]
    assert dataset.user_ids.decode([7]) == ["user-0007"]
    assert dataset.items.columns == ["item", "title", "text", "categories", "year", "price"]
    assert truth.preferences.shape == (60, 80)
    assert truth.preferences.dtype == np.float32
    assert len(dataset.log.items) == 1_500


def test_titles_are_distinct_some_chinese(world: tuple[Dataset, Truth]) -> None:
    titles = world[0].items["title"]
    assert titles.n_unique() == len(titles)
    assert 0.05 < titles.str.contains(r"\p{Han}").mean() < 0.3


def test_an_item_bears_the_category_of_its_group(world: tuple[Dataset, Truth]) -> None:
    dataset, truth = world
    first = dataset.items["categories"].list.first()
    for group in range(12):
        assert first.gather(np.flatnonzero(truth.groups == group)).n_unique() == 1
    assert first.n_unique() == 12


def test_no_pair_comes_twice_and_time_only_rises(world: tuple[Dataset, Truth]) -> None:
    log = world[0].log
    assert len(np.unique(log.rows * 1_200 + log.items)) == len(log.items)
    assert (np.diff(log.timestamps)[np.diff(log.rows) == 0] >= 0).all()
    assert log.timestamps.min() >= START
    assert log.timestamps.max() < START + SPAN
    assert (log.timestamps >= world[1].released[log.items]).all(), "nobody has an item before it appears"


def test_rows_of_preferences_are_distributions(world: tuple[Dataset, Truth]) -> None:
    assert np.allclose(world[1].preferences.sum(axis=1), 1, atol=1e-4)
    assert world[1].preferences.min() > 0


def test_the_oracle_beats_popularity_clearly(world: tuple[Dataset, Truth]) -> None:
    dataset, truth = world
    log = dataset.log
    late = log.timestamps > START + 0.9 * SPAN
    train, test = log.where(~late), log.where(late & (log.values > 0))
    counts = np.bincount(train.items[train.values > 0], minlength=1_200).astype(float)
    seen = np.zeros((600, 1_200), bool)
    seen[train.rows, train.items] = True
    oracle = np.where(seen, -1.0, truth.preferences)[test.rows]
    popular = np.where(seen, -1.0, counts)[test.rows]
    assert ndcg(oracle, test.items) > 1.8 * ndcg(popular, test.items)


def test_dislikes_fall_where_the_user_does_not_care(world: tuple[Dataset, Truth]) -> None:
    log, truth = world[0].log, world[1]
    taste = truth.tastes[log.rows, truth.groups[log.items]]
    assert taste[log.values > 0].mean() > 2 * taste[log.values < 0].mean()
    assert abs((log.values < 0).mean() - 0.08) < 0.01


def test_chains_are_followed() -> None:
    def share(sequence: float) -> float:
        dataset, truth = simulate(Simulation(users=100, items=300, events=3_000, sequence=sequence, noise=0.0))
        inside = np.diff(dataset.log.rows) == 0
        return float((truth.follows[dataset.log.items[:-1]] == dataset.log.items[1:])[inside].mean())

    assert share(0.0) < 0.1
    assert 0.35 < share(0.5) < 0.6


def test_every_item_follows_exactly_one(world: tuple[Dataset, Truth]) -> None:
    truth = world[1]
    assert sorted(truth.follows) == list(range(1_200))
    assert (truth.groups[truth.follows] == truth.groups).all()


@pytest.mark.parametrize(
    "options",
    [
        Simulation(users=1, items=2, events=1),
        Simulation(users=10, items=10, events=50, fresh=0.5),
        Simulation(users=3, items=4, events=0),
        Simulation(users=20, items=30, events=200, tastes=1, dislikes=1.0, sequence=0.0, noise=0.0),
        Simulation(users=20, items=30, events=200, tastes=40),
    ],
)
def test_odd_sizes(options: Simulation) -> None:
    dataset, truth = simulate(options)
    log = dataset.log
    assert len(log.items) == options.events
    assert len(np.unique(log.rows * options.items + log.items)) == options.events
    assert np.allclose(truth.preferences.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": 0}, "users >= 1"),
        ({"users": 10, "items": 10, "events": 51}, "at most 50"),
        ({"noise": 0.6, "sequence": 0.5}, "together"),
        ({"fresh": 0.6}, "0 to 0.5"),
        ({"focus": 0.0}, "focus > 0"),
    ],
)
def test_wrong_options_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Simulation(**wrong)
