"""Simulate: a catalogue and a log whose true preferences are known, for demos without a network and for tests.

Every item belongs to a group and has a popularity; every user has a taste, a distribution over groups, that
moves from where it began to where it ends. An event at time t takes a group from the taste at t and an
item of that group by popularity; or follows a chain, from the user's last item to the one that comes after
it; or is mere noise; or is a dislike, from a group that the user cares little for. No pair comes twice.
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.history import Histories
from twofold.core.ids import Codes, IdMap
from twofold.core.scores import Floats
from twofold.data.invention import invent_items

__all__ = ["Simulation", "Truth", "simulate"]

START = 1_672_531_200_000
"""2023-01-01 in UTC, in milliseconds."""
SPAN = 731 * 86_400_000
"""The two years to 2025-01-01."""
SESSION = 5
"""Events of a session, in the mean."""
PAUSE = 480_000
"""Milliseconds from the begin of a session to an event in it, in the mean."""
ELSEWHERE = 0.005
"""How much an item is liked outside of its group."""
TRIES = 4
DISLIKE, NOISE, CHAIN = range(3)
"""Moods of an event; any other follows the user's taste."""
COUNTRIES = ("CN", "DE", "FR", "IN", "JP", "US")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Options of a simulation.

    Raises:
        ValueError: an option is out of range, or there are too many events for so few pairs.
    """

    users: int = 600
    items: int = 1_200
    events: int = 60_000
    tastes: int = 12
    """Groups of items."""
    focus: float = 0.2
    """Concentration of tastes (of a Dirichlet distribution): small means that a user cares for few groups."""
    skew: float = 1.0
    """Popularity of the item at rank r of its group is r ** -skew."""
    drift: float = 0.3
    """How far a taste moves in two years: 0 not at all, 1 to another taste."""
    fresh: float = 0.15
    """Share of items that appear only in the course of the two years; at most one half."""
    sequence: float = 0.25
    """Share of events that follow a chain."""
    noise: float = 0.1
    """Share of events that mean nothing."""
    dislikes: float = 0.08
    """Share of events that are dislikes."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.users < 1 or self.items < 2 or self.tastes < 1 or self.events < 0 or self.seed < 0:
            raise ValueError("a simulation wants users >= 1, items >= 2, tastes >= 1, events >= 0 and seed >= 0.")
        if self.events > self.users * self._most:
            raise ValueError(
                f"{self.events:,} events are too many; {self.users:,} users and {self.items:,} items "
                f"bear at most {self.users * self._most:,}."
            )
        if self.focus <= 0 or self.skew < 0:
            raise ValueError("a simulation wants focus > 0 and skew >= 0.")
        shares = (self.drift, 2 * self.fresh, self.sequence, self.noise, self.dislikes)
        if not all(0 <= share <= 1 for share in shares) or self.sequence + self.noise + self.dislikes > 1:
            raise ValueError(
                "drift, sequence, noise and dislikes are shares from 0 to 1, the last three together too; "
                "fresh is one from 0 to 0.5."
            )

    @property
    def _most(self) -> int:
        """The most events of one user."""
        return self.items // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the simulation drew from: what an oracle knows."""

    preferences: Floats
    """Probability that a like at the end of the two years, one that follows no chain, is of an item; shape
    [users, items], rows sum to 1."""
    tastes: Floats
    """Distribution of each user over groups at the end, shape [users, tastes]."""
    groups: Codes
    """Group of each item, shape [items]."""
    follows: Codes
    """The item that comes after each item in its chain, shape [items]."""
    released: npt.NDArray[np.int64]
    """When each item appeared, milliseconds since 1970; shape [items]."""


def simulate(options: Simulation | None = None) -> tuple[Dataset, Truth]:
    """Make a dataset with known preferences. Equal options give equal data.

    Returns:
        The dataset, with ids like `user-0042` and `item-00042`, and the truth about it.
    """
    options = options or Simulation()
    rng = np.random.default_rng(options.seed)
    groups = rng.permutation(np.arange(options.items) % options.tastes).astype(np.int32)
    spread = _spread(groups, options, rng)
    first = rng.dirichlet(np.full(options.tastes, options.focus), options.users)
    other = rng.dirichlet(np.full(options.tastes, options.focus), options.users)
    last = (1 - options.drift) * first + options.drift * other
    fresh = rng.permutation(options.items) < int(options.fresh * options.items)
    appear = np.where(fresh, rng.random(options.items), 0.0)
    counts = _counts(options, rng)
    users, times = _times(counts, rng)
    follows = _chains(groups, rng)
    world = _World(spread=spread, groups=groups, first=first, last=last, follows=follows, appear=appear)
    items, values = _draw(world, counts, times, options, rng)
    noise = min(options.noise / max(1 - options.sequence - options.dislikes, 1e-9), 1.0)
    truth = Truth(
        preferences=((1 - noise) * (last @ spread) + noise / options.items).astype(np.float32),
        tastes=last.astype(np.float32),
        groups=groups,
        follows=follows,
        released=START + (appear * SPAN).astype(np.int64),
    )
    log = Histories.from_events(users, items, values, START + (times * SPAN).astype(np.int64), size=options.users)
    return _dataset(log, truth, options, rng), truth


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    spread: npt.NDArray[np.float64]
    """Distribution of each group over items, shape [tastes, items]."""
    groups: Codes
    first: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    """Tastes at the beginning and at the end, shape [users, tastes]."""
    follows: Codes
    appear: npt.NDArray[np.float64]
    """When items appear, 0 for the beginning and 1 for the end; shape [items]."""


def _dataset(log: Histories, truth: Truth, options: Simulation, rng: np.random.Generator) -> Dataset:
    item_ids = pl.Series("item", [f"item-{code:05d}" for code in range(options.items)])
    user_ids = pl.Series("user", [f"user-{code:04d}" for code in range(options.users)])
    items = invent_items(item_ids, truth.groups, rng)
    released = pl.from_epoch(pl.Series(truth.released), time_unit="ms").dt.year().cast(pl.Int64)
    fresh = pl.Series(truth.released > START)
    items = items.with_columns(year=pl.when(fresh).then(released).otherwise(pl.col("year")))
    return Dataset(
        item_ids=IdMap(item_ids),
        user_ids=IdMap(user_ids),
        items=items,
        users=pl.DataFrame({"user": user_ids, "country": rng.choice(COUNTRIES, options.users).tolist()}),
        log=log,
        provenance={"source": "simulated", "options": asdict(options)},
    )


def _spread(groups: Codes, options: Simulation, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return how each group spreads over items, shape [tastes, items]; most of it stays within the group."""
    ranks = np.empty(options.items)
    for group in range(options.tastes):
        members = np.flatnonzero(groups == group)
        ranks[members] = rng.permutation(len(members)) + 1
    weights = ranks**-options.skew * np.where(groups == np.arange(options.tastes)[:, None], 1.0, ELSEWHERE)
    spread: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return spread


def _chains(groups: Codes, rng: np.random.Generator) -> Codes:
    """Return a successor for each item: a closed chain through each group."""
    follows = np.empty(len(groups), np.int32)
    for group in np.unique(groups):
        chain = rng.permutation(np.flatnonzero(groups == group))
        follows[chain] = np.roll(chain, -1)
    return follows


def _counts(options: Simulation, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return how many events each user has: log-normal activity, none beyond half of the catalogue."""
    activity = rng.lognormal(sigma=0.7, size=options.users)
    counts = np.zeros(options.users, np.int64)
    while (missing := options.events - int(counts.sum())) > 0:
        room = np.where(counts < options._most, activity, 0.0)
        counts = np.minimum(counts + rng.multinomial(missing, room / room.sum()), options._most)
    return counts


def _times(
    counts: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the user and the time (0 to 1) of each event, in sessions, by user and time."""
    users = np.repeat(np.arange(len(counts)), counts)
    joined = rng.random(len(counts)) * 0.8
    sessions = -(-counts // SESSION)
    begins = rng.random(int(sessions.sum()))
    session = np.repeat(np.cumsum(sessions) - sessions, counts) + rng.integers(0, np.repeat(sessions, counts))
    times = joined[users] + (1 - joined[users]) * begins[session]
    times = np.minimum(times + rng.exponential(PAUSE / SPAN, len(users)), 1 - 1 / SPAN)
    return users, times[np.lexsort((times, users))]


def _draw(
    world: _World,
    counts: npt.NDArray[np.int64],
    times: npt.NDArray[np.float64],
    options: Simulation,
    rng: np.random.Generator,
) -> tuple[Codes, Floats]:
    """Return the item and the value of each event; the first events of all users are drawn at once, and so on."""
    starts = np.cumsum(counts) - counts
    items, values = np.full(len(times), -1, np.int32), np.empty(len(times), np.float32)
    seen = np.zeros(world.last.shape[:1] + world.appear.shape, bool)
    groups = world.groups

    def free(chosen: Codes, users: npt.NDArray[np.int64], now: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        return (world.appear[chosen] <= now) & ~seen[users, chosen]

    # Group g's cumulated distribution lies in g … g + 1, so that one search serves all groups.
    ladder = (np.cumsum(world.spread, axis=1) + np.arange(options.tastes)[:, None]).ravel()
    edges = np.cumsum((options.dislikes, options.noise, options.sequence))
    for step in range(int(counts.max(initial=0))):
        users = np.flatnonzero(counts > step)
        events = starts[users] + step
        now = times[events]
        taste = world.first[users] + now[:, None] * (world.last[users] - world.first[users])
        mood = np.searchsorted(edges, rng.random(len(users)), side="right")
        cared = np.where((mood == DISLIKE)[:, None], 1 - taste, taste)
        limits = np.cumsum(cared, axis=1)
        limits /= np.maximum(limits[:, -1:], 1e-12)
        chosen = world.follows[items[events - 1]] if step else np.zeros(len(users), np.int32)
        again = np.flatnonzero((mood != CHAIN) | ~free(chosen, users, now) | (step == 0))
        for _ in range(TRIES):
            if not len(again):
                break
            group = np.minimum((limits[again] < rng.random((len(again), 1))).sum(axis=1), options.tastes - 1)
            place = np.searchsorted(ladder, group + rng.random(len(again)), side="right")
            drawn = np.minimum(place - group * options.items, options.items - 1)
            chosen[again] = np.where(mood[again] == NOISE, rng.integers(0, options.items, len(again)), drawn)
            again = again[~free(chosen[again], users[again], now[again])]
        for row in again:
            chosen[row] = rng.choice(np.flatnonzero((world.appear <= now[row]) & ~seen[users[row]]))
        seen[users, chosen] = True
        items[events] = chosen
        keen = taste[np.arange(len(users)), groups[chosen]] >= taste.max(axis=1) / 2
        values[events] = np.where(mood == DISLIKE, -1.0, np.where(keen, 1.0, 0.5))
    return items, values
