import numpy as np
import pytest

from twofold.core import Dataset, Histories
from twofold.core.errors import ConfigError
from twofold.core.query import Batch
from twofold.models import EASE, EASEConfig, SparseEASE, SparseEASEConfig

HISTORIES = Histories.from_lists([[3, 7, 11], [1], [5, 59]])


def reference(dataset: Dataset, reg: float) -> np.ndarray:
    """Steck's closed form, written as in the paper."""
    likes = np.zeros((len(dataset.log), len(dataset.items)))
    likes[dataset.log.rows, dataset.log.items] = 1
    inverse = np.linalg.inv(likes.T @ likes + reg * np.eye(likes.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("form", ["primal", "dual"])
def test_both_forms_equal_the_paper(random_dataset: Dataset, form: str) -> None:
    model = EASE(EASEConfig(reg=5.0, form=form)).fit(random_dataset)
    history = np.zeros((3, 60))
    history[HISTORIES.rows, HISTORIES.items] = 1
    expected = history @ reference(random_dataset, 5.0)
    np.testing.assert_allclose(model.score_histories(HISTORIES), expected, atol=1e-5)


def test_a_dual_form_that_is_too_large_to_be_smoothed_scores_the_same(
    random_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EASEConfig(reg=5.0, recency=0.8, form="dual")
    expected = EASE(config).fit(random_dataset).score_histories(HISTORIES)
    monkeypatch.setattr("twofold.models.ease.SMOOTH_BYTES", 0)
    model = EASE(config).fit(random_dataset)
    np.testing.assert_allclose(model.score_histories(HISTORIES), expected, atol=1e-5)
    for row in range(3):
        np.testing.assert_allclose(model.score_histories(HISTORIES.row(row)), expected[row : row + 1], atol=1e-5)


@pytest.mark.parametrize("form", ["primal", "dual"])
def test_recency_weighs_older_likes_less(random_dataset: Dataset, form: str) -> None:
    model = EASE(EASEConfig(reg=5.0, recency=0.5, form=form)).fit(random_dataset)
    expected = np.array([0.25, 0.5, 1.0]) @ reference(random_dataset, 5.0)[[3, 7, 11]]
    np.testing.assert_allclose(model.score_histories(HISTORIES.row(0))[0], expected, atol=1e-5)


@pytest.mark.parametrize("form", ["primal", "dual"])
def test_contributions_add_up_to_the_score(random_dataset: Dataset, form: str) -> None:
    model = EASE(EASEConfig(reg=5.0, recency=0.5, form=form)).fit(random_dataset)
    batch = Batch.of_histories(HISTORIES.row(0))
    found = model.contributions(batch, "history", np.array([20, 7, 59], np.int32))
    expected = np.array([[0.25], [0.5], [1.0]]) * reference(random_dataset, 5.0)[[3, 7, 11]][:, [20, 7, 59]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), model.score_histories(HISTORIES.row(0))[0, [20, 7, 59]], atol=1e-5)


def test_auto_takes_the_smaller_matrix(random_dataset: Dataset) -> None:
    model = EASE(EASEConfig(reg=5.0)).fit(random_dataset)
    assert model.weights is None
    assert model.kernel is not None
    assert model.kernel.shape == (40, 40)


def test_too_large_a_matrix_is_refused_with_the_way_out(random_dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="sparse-ease"):
        EASE(EASEConfig(memory_gb=1e-6)).fit(random_dataset)


def test_sparse_ease_with_all_neighbours_is_ease(make_dataset) -> None:
    rng = np.random.default_rng(1)
    # One user likes everything, so that every two items share somebody and may explain each other.
    dataset = make_dataset([range(30), *(rng.choice(30, size=8, replace=False) for _ in range(40))], 30)
    model = SparseEASE(SparseEASEConfig(reg=5.0, neighbours=30)).fit(dataset)
    np.testing.assert_allclose(model.weights.toarray(), reference(dataset, 5.0), atol=1e-6)


def test_sparse_ease_keeps_few_neighbours(random_dataset: Dataset) -> None:
    model = SparseEASE(SparseEASEConfig(neighbours=3)).fit(random_dataset)
    assert np.bincount(model.weights.indices, minlength=60).max() <= 3
