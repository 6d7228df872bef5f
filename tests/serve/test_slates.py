"""The log of slates: in batches, bounded, and never in the way."""

import threading
from collections.abc import Sequence

from tests.serve.conftest import until

from twofold.core.errors import StoreError
from twofold.events import LoggedSlate, MemoryStore
from twofold.serve.metrics import Metrics
from twofold.serve.slates import SlateLog


def slate(id_: object) -> LoggedSlate:
    return LoggedSlate(id=str(id_), timestamp=0, items=(), artifact="a")


class Faulty(MemoryStore):
    """Fails as often as it is told to."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures, self.sizes = failures, list[int]()

    def log(self, slates: Sequence[LoggedSlate]) -> int:
        self.sizes.append(len(slates))
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full; make room.")
        return super().log(slates)


def figures(metrics: Metrics) -> tuple[float, float]:
    lines = metrics.text().decode().splitlines()
    found = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("twofold_slates")}
    return found["twofold_slates_logged_total"], found["twofold_slates_lost_total"]


def test_slates_are_logged_in_batches_and_in_order() -> None:
    store, metrics = Faulty(0), Metrics()
    log = SlateLog(store, metrics)
    for number in range(2_500):
        log.put(slate(number))
    assert store.sizes == []
    log.close()
    assert store.sizes == [1_000, 1_000, 500]
    assert [one.id for _, one in store.slates(limit=9_999)] == [str(number) for number in range(2_500)]
    assert figures(metrics) == (2_500, 0)


def test_what_comes_while_too_many_wait_is_lost_and_counted() -> None:
    metrics = Metrics()
    log = SlateLog(Faulty(0), metrics, most=2)
    for number in range(5):
        log.put(slate(number))
    log.close()
    assert figures(metrics) == (2, 3)


def test_a_store_that_fails_gets_them_again() -> None:
    store, metrics = Faulty(2), Metrics()
    log = SlateLog(store, metrics)
    for number in range(3):
        log.put(slate(number))
    log.flush()
    log.flush()
    assert (store.slates(), figures(metrics)) == ([], (0, 0))
    log.flush()
    assert [one.id for _, one in store.slates()] == ["0", "1", "2"]
    broken = SlateLog(Faulty(9), metrics)
    broken.put(slate("x"))
    broken.close()
    assert figures(metrics) == (3, 1)


def test_nobody_waits_for_the_store() -> None:
    class Slow(MemoryStore):
        def log(self, slates: Sequence[LoggedSlate]) -> int:
            freed.wait()
            return super().log(slates)

    freed, store, metrics = threading.Event(), Slow(), Metrics()
    log = SlateLog(store, metrics, most=10)
    log.start()
    log.put(slate("first"))
    assert until(lambda: not log._waiting)
    for number in range(100):
        log.put(slate(number))
    freed.set()
    log.close()
    assert (len(store.slates()), figures(metrics)) == (11, (11, 90))
