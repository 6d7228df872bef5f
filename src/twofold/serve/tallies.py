"""`Tallies`: experiments summed up, and summed up anew only as often as that costs little."""

import time
from collections.abc import Callable, Mapping, Sequence

from twofold.events import EventStore, Tally

__all__ = ["Tallies"]

IDLE = 9.0
"""How much longer than summing up took it is left alone: so it takes a tenth of a core at most, whoever asks."""


class Tallies:
    """What experiments come to by now, or came to a short while ago where they are large.

    Args:
        store: where slates and events are.
        clock: seconds that only rise.
    """

    def __init__(self, store: EventStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[float, Sequence[Tally]]] = {}

    def of(self, experiment: str, positive: Mapping[str, float]) -> Sequence[Tally]:
        """Return the sums of an experiment, by arm; see `EventStore.tally`.

        Raises:
            StoreError: the store cannot be read.
        """
        until, found = self._known.get(experiment, (-1.0, ()))
        begun = self._clock()
        if begun >= until:
            found = self._store.tally(experiment, positive)
            now = self._clock()
            self._known[experiment] = (now + IDLE * (now - begun), found)
        return found
