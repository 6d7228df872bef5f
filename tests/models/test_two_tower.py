import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from twofold.core import Dataset, Histories
from twofold.core.config import build
from twofold.core.errors import ConfigError, DataError
from twofold.models import TwoTower, TwoTowerConfig
from twofold.models.towers import Towers
from twofold.models.two_tower import TwoTowerTraining

CYCLE = 6


def config(**more) -> TwoTowerConfig:
    training = TwoTowerTraining(**{"epochs": 3, "minutes": None, "threads": 1, **more.pop("training", {})})
    return TwoTowerConfig(
        **{"width": 8, "inner": 8, "length": 12, "tokens": 200, "holdout": 0, **more}, training=training
    )


@pytest.fixture(scope="module")
def circling(make_dataset) -> Dataset:
    """Every user goes round in a circle of six items, from somewhere; a seventh item nobody touched."""
    return make_dataset([[(start + step) % CYCLE for step in range(9)] for start in range(CYCLE)] * 10, CYCLE + 1)


@pytest.mark.parametrize("loss", ["in-batch", "sampled"])
def test_it_learns_what_comes_next(circling: Dataset, loss) -> None:
    options = config(loss=loss, negatives=30, dropout=0.0, training={"epochs": 30, "lr": 0.02})
    model = TwoTower(options).fit(circling, rng=1)
    histories = Histories.from_lists([[(item - 1) % CYCLE, item] for item in range(CYCLE)])
    assert np.nanargmax(model.score_events(histories).values, axis=1).tolist() == [1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("lists", [[[0], [1, 2, 3]], [[4, 4, 1]], [list(range(6)) * 3]])
def test_numpy_says_what_torch_says(circling: Dataset, lists) -> None:
    model = TwoTower(config()).fit(circling, rng=1)
    towers = Towers(model.config, model.ids[:6].copy(), np.ones(6, np.float32)).eval()
    with torch.no_grad():
        for name in ("straight", "widen", "narrow"):
            getattr(towers, name).weight.copy_(torch.from_numpy(getattr(model, name).T.copy()))
        towers.widen.bias.copy_(torch.from_numpy(model.lift))
        towers.narrow.bias.copy_(torch.from_numpy(model.shift))
        for row, found in zip(lists, model.states(Histories.from_lists(lists)), strict=True):
            liked = towers.table()[torch.tensor(row[-12:])][None]
            np.testing.assert_allclose(found, towers(liked)[0, -1].numpy(), atol=1e-4)


def test_a_user_is_the_recency_weighted_mean_of_what_they_liked(circling: Dataset) -> None:
    model = TwoTower(config(recency=(0.5,), training={"epochs": 1})).fit(circling, rng=1)
    mean = (0.5 * model.ids[2] + model.ids[4]) / 1.5
    expected = mean @ model.straight + np.maximum(mean @ model.widen + model.lift, 0) @ model.narrow + model.shift
    np.testing.assert_allclose(model.states(Histories.from_lists([[2, 4]]))[0], expected, rtol=1e-4, atol=1e-6)


def test_dislikes_are_neither_seen_nor_sought(make_dataset) -> None:
    lists, values = [[0, 1, 2, 3]] * 20, [1.0, 1.0, -1.0, 1.0] * 20
    disliking = make_dataset(lists, 4, values)
    without = make_dataset([[0, 1, 3]] * 20, 4)
    found, expected = (TwoTower(config()).fit(dataset, rng=1) for dataset in (disliking, without))
    np.testing.assert_allclose(found.ids, expected.ids)
    asked = disliking.log.take(np.array([0]))
    np.testing.assert_array_equal(found.score_events(asked).values, found.score_events(asked.likes()).values)
    assert np.isnan(found.score_events(asked).values[0]).tolist() == [False, False, True, False]


def test_scores_are_the_same_after_saving(circling: Dataset, tmp_path: Path) -> None:
    model = TwoTower(config()).fit(circling, rng=1)
    model.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}
    read = TwoTower(model.config)
    read.restore(tmp_path, circling)
    asked = circling.log.take(np.arange(5))
    np.testing.assert_allclose(read.score_events(asked).values, model.score_events(asked).values, rtol=1e-6)


def test_a_new_item_is_found_through_its_content(lettered: Dataset, letters) -> None:
    model = TwoTower(config(encoder="letters", content_dropout=0.5, dropout=0.0, training={"epochs": 40, "lr": 0.02}))
    model.linked["encoder"] = letters.fit(lettered)
    model.fit(lettered, rng=1)
    after_a, after_b = model.score_events(Histories.from_lists([[0], [1]])).values
    assert after_a[12] > after_b[12]
    assert after_a[12] > after_a[[0, 2, 3, 5, 6, 8]].mean()
    assert np.isnan(after_a[13])


def test_one_seed_one_model(circling: Dataset) -> None:
    one, same, other = (TwoTower(config()).fit(circling, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.ids, same.ids)
    assert not np.array_equal(one.ids, other.ids)


def test_nobody_with_two_likes_is_said(make_dataset) -> None:
    with pytest.raises(DataError, match="more data"):
        TwoTower(config()).fit(make_dataset([[0], [1]], 2), rng=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recency": []}, "recency"),
        ({"recency": [1.5]}, "recency"),
        ({"width": 0}, "width"),
        ({"dropout": 1.0}, "drop"),
    ],
)
def test_wrong_options_are_refused(options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        build(TwoTowerConfig, options, "two-tower")


def test_torch_is_for_training_only() -> None:
    program = "import sys, twofold.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
