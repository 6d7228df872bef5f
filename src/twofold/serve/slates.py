"""`SlateLog`: slates that were served are logged in the store, in batches and by a thread of its own."""

import logging
import threading
from collections import deque

from twofold.core.errors import StoreError
from twofold.events import EventStore, LoggedSlate
from twofold.serve.metrics import Metrics

__all__ = ["SlateLog"]

log = logging.getLogger("twofold.serve")

EVERY_SECONDS = 0.25
TOGETHER = 1_000


class SlateLog:
    """Logs slates.

    No answer waits for it. Up to a quarter of a second of them is lost in a crash; those that come while `most` wait
    are lost, too, and counted.

    Args:
        store: where they are logged.
        metrics: told how many were logged, and how many were lost.
        most: how many may wait.
    """

    def __init__(self, store: EventStore, metrics: Metrics, *, most: int = 20_000) -> None:
        self._store, self._metrics, self._most = store, metrics, most
        self._waiting: deque[LoggedSlate] = deque()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slates", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, slate: LoggedSlate) -> None:
        """Have a slate logged, sooner or later."""
        if len(self._waiting) >= self._most:
            self._metrics.lost.inc()
        else:
            self._waiting.append(slate)

    def close(self) -> None:
        """Log what waits, and take no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()
        self._metrics.lost.inc(len(self._waiting))

    def flush(self) -> None:
        """Log what waits; where the store fails it waits on, for the next time."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]
            try:
                self._store.log(batch)
            except StoreError as error:
                self._waiting.extendleft(reversed(batch))
                log.error("slates wait to be logged: %s", error)
                return
            except Exception:
                self._metrics.lost.inc(len(batch))
                raise
            self._metrics.logged.inc(len(batch))

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            try:
                self.flush()
            except Exception:
                log.exception("logging slates failed")
