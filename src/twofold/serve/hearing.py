"""`heard`: does work only as long as whoever asked for it still listens."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from twofold.serve.problems import Refusal

__all__ = ["heard"]

T = TypeVar("T")


async def heard(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what work gives, whose request has been read to its end; cancel it when the caller hangs up.

    Raises:
        Refusal: the caller hung up; nobody reads it.
    """
    working, listening = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((working, listening), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refusal(499, "the caller hung up.")
        return working.result()
    finally:
        working.cancel()
        listening.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
