"""Held-out likes, by which the training of a neural recommender knows when to stop."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twofold.core.history import Histories
from twofold.core.ids import Codes
from twofold.core.scores import Floats

__all__ = ["HeldOut", "hold_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Users whose last new like is to be found, given what they did before it."""

    histories: Histories
    targets: Codes

    def gains(self, rows: npt.NDArray[np.integer], scores: Floats) -> Floats:
        """Return NDCG@10 of some users' likes among all items that they have not had; ties count against it.

        Args:
            rows: which users, [b].
            scores: of all items, [b, m].
        """
        had = self.histories.take(rows)
        scores = scores.copy()
        scores[had.rows, had.items] = -np.inf
        right = np.take_along_axis(scores, self.targets[rows].astype(np.int64)[:, None], axis=1)
        places = (scores >= right).sum(axis=1)
        return np.where(places <= 10, 1 / np.log2(places + 1), 0).astype(np.float32)


def hold_out(log: Histories, count: int, rng: np.random.Generator) -> tuple[Histories, HeldOut | None]:
    """Take the last new like of `count` users, at most one in ten, out of a log, and what they did after it.

    Returns:
        The rest of the log, and what was taken; None where that is nothing.
    """
    places = np.arange(len(log.items))
    first = np.isin(places, np.unique(log.rows * (int(log.items.max(initial=0)) + 1) + log.items, return_index=True)[1])
    last = np.full(len(log), -1)
    np.maximum.at(last, log.rows, np.where(first & (log.values > 0), places, -1))
    eligible = np.flatnonzero(last - log.indptr[:-1] >= 2)
    count = min(count, len(eligible) // 10)
    if not count:
        return log, None
    users = np.sort(rng.choice(eligible, count, replace=False))
    ends = log.indptr[1:].copy()
    ends[users] = last[users]
    rest = log.where(places < ends[log.rows])
    return rest, HeldOut(histories=rest.take(users), targets=log.items[last[users]])
