import asyncio
import threading
from collections.abc import Sequence

import pytest

from twofold.serve.gathering import Gatherer
from twofold.serve.problems import Refusal


def test_what_waits_is_done_together_and_each_gets_its_own() -> None:
    batches: list[list[int]] = []
    gate = threading.Event()

    def work(tasks: Sequence[int]) -> list[int | Exception]:
        gate.wait(30)
        batches.append(list(tasks))
        return [ValueError(task) if task == 3 else 10 * task for task in tasks]

    async def ask() -> list[object]:
        gatherer = Gatherer(work, name="test", together=3, most=100)
        asked = [asyncio.ensure_future(gatherer.do(task)) for task in range(6)]
        while not gatherer.busy:
            await asyncio.sleep(0)
        asked[4].cancel()
        gate.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        gatherer.close()
        return list(answers)

    answers = asyncio.run(ask())
    assert answers[:3] == [0, 10, 20]
    assert isinstance(answers[3], ValueError)
    assert isinstance(answers[4], asyncio.CancelledError)
    assert answers[5] == 50
    assert batches == [[0, 1, 2], [3, 5]]  # what was no longer wanted was not done


def test_too_many_are_refused_at_once() -> None:
    gate = threading.Event()

    def work(tasks: Sequence[int]) -> list[int]:
        gate.wait(30)
        return list(tasks)

    async def ask() -> None:
        gatherer = Gatherer(work, name="test", together=8, most=2)
        asked = [asyncio.ensure_future(gatherer.do(0))]
        while not gatherer.busy:
            await asyncio.sleep(0)
        asked += [asyncio.ensure_future(gatherer.do(task)) for task in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="try again") as refused:
            await gatherer.do(3)
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        gate.set()
        assert await asyncio.gather(*asked) == [0, 1, 2]
        gatherer.close()

    asyncio.run(ask())


def test_a_failure_of_the_work_is_the_answer_to_all() -> None:
    def work(_: Sequence[int]) -> list[int]:
        raise OSError("disk")

    async def ask() -> list[object]:
        gatherer = Gatherer(work, name="test", together=8, most=8)
        answers = await asyncio.gather(gatherer.do(1), gatherer.do(2), return_exceptions=True)
        gatherer.close()
        return list(answers)

    assert [str(answer) for answer in asyncio.run(ask())] == ["disk", "disk"]
