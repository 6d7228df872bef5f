import numpy as np

from twofold.core import Dataset, Histories
from twofold.models import ALS, ALSConfig


def test_fold_in_solves_the_normal_equations(random_dataset: Dataset) -> None:
    model = ALS(ALSConfig(factors=4, alpha=3.0, reg=0.5, threads=1)).fit(random_dataset, rng=1)
    user = model.fold_in(Histories.from_lists([[3, 7]]))[0]
    vectors = model.vectors.astype(np.float64)
    confidence, preference = np.ones(60), np.zeros(60)
    confidence[[3, 7]], preference[[3, 7]] = 3.0, 1.0
    left = vectors.T @ np.diag(confidence) @ vectors + 0.5 * np.eye(4)
    np.testing.assert_allclose(user, np.linalg.solve(left, vectors.T @ (confidence * preference)), rtol=1e-3)


def test_fold_in_is_what_the_library_would_compute(random_dataset: Dataset) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    from twofold.models.recommender import like_matrix

    model = ALS(ALSConfig(factors=4, alpha=3.0, reg=0.5, threads=1)).fit(random_dataset, rng=1)
    histories = Histories.from_lists([[3, 7], [1, 2, 40]])
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(
            factors=4, alpha=3.0, regularization=0.5, num_threads=1, random_state=1, use_cg=False
        )
        peer.item_factors = model.vectors
        expected = peer.recalculate_user(np.arange(2), like_matrix(histories, 60))
    np.testing.assert_allclose(model.fold_in(histories), expected, rtol=1e-3, atol=1e-5)


def test_more_factors_than_items(make_dataset) -> None:
    dataset = make_dataset([[user, (user + 1) % 10] for user in range(10)], 10)
    scores = ALS(ALSConfig(factors=15, threads=1)).fit(dataset, rng=0).score_histories(Histories.from_lists([[2]]))
    assert np.isfinite(scores).all()


def test_one_seed_one_model(random_dataset: Dataset) -> None:
    first, second = (ALS(ALSConfig(threads=1)).fit(random_dataset, rng=5).vectors for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_callers_thread_settings_stay(random_dataset: Dataset) -> None:
    from threadpoolctl import threadpool_info

    before = threadpool_info()
    ALS(ALSConfig(factors=4, threads=1)).fit(random_dataset)
    assert [pool["num_threads"] for pool in threadpool_info()[: len(before)]] == [
        pool["num_threads"] for pool in before
    ]
