from dataclasses import replace

import numpy as np
import pytest

from twofold.core import DenseScores, Histories
from twofold.core.config import build
from twofold.core.errors import ConfigError
from twofold.models import Popularity, PopularityConfig
from twofold.models.popularity import DAY


def test_all_time_counts_likes_only(make_dataset) -> None:
    dataset = make_dataset([[0, 1], [0, 2]], 4, [1.0, -1.0, 0.5, 0.0])
    scores = Popularity().fit(dataset).score_events(Histories.empty(2)).values
    np.testing.assert_array_equal(scores, [[2, 0, 0, 0]] * 2)


def test_trending_halves_with_each_half_life(make_dataset) -> None:
    # The events are a day apart; the newest is on day 3.
    dataset = make_dataset([[0, 1], [2, 1]], 3)
    scores = Popularity(PopularityConfig(half_life_days=1.0)).fit(dataset).score_events(Histories.empty(1)).values
    np.testing.assert_allclose(scores, [[1 / 8, 1 / 4 + 1, 1 / 2]])


def test_events_that_come_later_count_at_once_and_age_the_others(make_dataset) -> None:
    # The events are a day apart; the newest is on day 3, and what comes later is on day 4 and on day 2.
    stage = Popularity(PopularityConfig(half_life_days=1.0)).fit(make_dataset([[0, 1], [2, 1]], 3))
    before, newest = stage.counts, stage.newest
    later = replace(Histories.from_lists([[0, 2, 1]]), timestamps=newest + np.array([DAY, -DAY, DAY]))
    stage.observe(replace(later, values=np.array([1, 0.5, -1], np.float32)))
    np.testing.assert_allclose(stage.counts, [1 / 16 + 1, 1 / 8 + 1 / 2, 1 / 4 + 1 / 4])
    np.testing.assert_allclose(before, [1 / 8, 1 / 4 + 1, 1 / 2])


def test_the_ranking_that_is_kept_is_that_of_the_counts(make_dataset) -> None:
    stage = Popularity().fit(make_dataset([[0, 1, 3], [2, 1], [1, 3]], 5))

    def check() -> None:
        scores = stage.score_events(Histories.empty(2))
        for k in (2, 4, 1, 3, 9):
            for allowed in (None, np.array([[True, False, True, True, True], [False] * 5])):
                for found, wanted in zip(
                    scores.top(k, allowed), DenseScores(scores.values).top(k, allowed), strict=True
                ):
                    np.testing.assert_array_equal(found, wanted)

    check()
    stage.observe(Histories.from_lists([[4, 4, 4]]))
    check()


def test_a_half_life_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="half_life_days above 0"):
        build(PopularityConfig, {"half_life_days": 0}, "retrieve.trending")
