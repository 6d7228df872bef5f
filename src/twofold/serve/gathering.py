"""`Gatherer`: work that comes one by one, done together.

Whatever waits when a thread becomes free is done in one go: one call of the pipeline, or one commit of the event store.
A lone request waits for nobody; under load the batches grow by themselves. Refusals are paced.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NoReturn, TypeVar

from twofold.serve.problems import Refusal

__all__ = ["Gatherer", "plain"]

REFUSALS, AT_ONCE, PATIENCE = 300.0, 50, 0.5
"""Refusals a second beyond which they are held back, how many go out at once, and the most seconds one is held."""

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """Does work of one kind in one thread, as much together as waits, in the order of arrival.

    What is brief, see `_is_brief`, is done by the thread of the event loop itself.

    Args:
        work: returns for each task its result, or the error that is its answer.
        name: what the thread is called.
        together: how many tasks are done in one go at most.
        most: how many may wait; further ones are refused.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        name: str,
        together: int,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._together, self._most, self._clock = work, together, most, clock
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._busy = False
        self._refusing = -math.inf
        """When the last refusal would go out, were they sent at their rate."""
        self._held = 0
        """Refusals that are held back."""

    async def do(self, task: T) -> R:
        """Have one task done.

        Raises:
            Refusal: too many tasks wait.
        """
        if self._ahead_of(task) >= self._most:
            await self.refuse(
                Refusal(429, "too many requests wait already; try again in a second.", {"Retry-After": "1"})
            )
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._push(task, future)
        # Not at once: what comes in the same turn of the loop is done together.
        asyncio.get_running_loop().call_soon(self._start)
        return await future

    async def refuse(self, refusal: Refusal) -> NoReturn:
        """Raise a refusal; later, where refusals follow each other too fast.

        Whoever asks again at once when refused would else have a worker do nothing but refuse: reading a request and
        refusing it takes a third of a millisecond of the interpreter, which answering then does not get.
        """
        now = self._clock()
        self._refusing = min(max(self._refusing, now - AT_ONCE / REFUSALS) + 1 / REFUSALS, now + PATIENCE)
        if self._refusing > now:
            self._held += 1
            try:
                await asyncio.sleep(self._refusing - now)
            finally:
                self._held -= 1
        raise refusal

    def __len__(self) -> int:
        """Return how many tasks wait."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether something is being done or waits to be, so that a task would have to wait."""
        return self._busy or len(self) > 0

    def close(self) -> None:
        """Finish what is being done, and take no more."""
        self._thread.shutdown()

    def _ahead_of(self, task: T) -> int:
        """Return how many wait in the line that a task would join."""
        return len(self._waiting)

    def _push(self, task: T, future: "asyncio.Future[R]") -> None:
        self._waiting.append((task, future))

    def _take(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        """Return what is done next; what nobody wants any more is left out."""
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._together:
            task, future = self._waiting.popleft()
            if not future.done():  # else whoever asked hung up
                batch.append((task, future))
        return batch

    def _is_brief(self) -> bool:
        """Return whether what was taken last is done sooner than a thread takes it over."""
        return False

    def _start(self) -> None:
        if self._busy or not len(self) or not (batch := self._take()):
            return
        self._busy = True
        loop = batch[0][1].get_loop()
        if self._is_brief():
            self._finish(batch, self._do(batch))
        else:
            self._thread.submit(lambda: loop.call_soon_threadsafe(self._finish, batch, self._do(batch)))

    def _do(self, batch: Sequence[tuple[T, "asyncio.Future[R]"]]) -> Sequence[R | Exception]:
        try:
            return self._work([task for task, _ in batch])
        except BaseException as error:
            return [plain(error)] * len(batch)

    def _finish(self, batch: Sequence[tuple[T, "asyncio.Future[R]"]], results: Sequence[R | Exception]) -> None:
        self._busy = False
        if len(self):
            batch[0][1].get_loop().call_soon(self._start)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def plain(error: BaseException) -> Exception:
    """Return an error that is an `Exception`: the panic of a library in Rust is none, and would end a thread unseen."""
    if isinstance(error, Exception):
        return error
    failed = RuntimeError(f"a library failed: {type(error).__name__}")
    failed.__cause__ = error
    return failed
