"""`Client` and `AsyncClient`: the API as Python, with the types of its answers."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2

from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.core.slate import Slate
from twofold.serve import calls, wire
from twofold.serve.calls import ApiError, Call, ForUser, Personal, Question, Seeded, Tries
from twofold.serve.lanes import Priority

__all__ = ["ApiError", "AsyncClient", "Client"]

T = TypeVar("T")


class Client:
    """Asks a server; it may be shared by threads.

    Args:
        url: where the server is, as http://127.0.0.1:8000.
        key: an API key, where the server has any.
        timeout: seconds to wait for an answer.
        transport: how requests travel; by default over the network.
        priority: of its questions: whether somebody waits for them.
        deadline_ms: by when answers are wanted; what could only come later is refused at once.
        retry: whether a call is sent once more, in the time that is left, where its connection breaks or the server
            says to come back (503 with Retry-After).
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 10.0,
        transport: httpx2.BaseTransport | None = None,
        priority: Priority = "standard",
        deadline_ms: float | None = None,
        retry: bool = True,
    ) -> None:
        self._more = {"priority": priority, "deadline_ms": deadline_ms}
        self._seconds, self._retry = timeout, retry
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport, verify=_secured(url)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(self, text: str, **more: Unpack[Personal]) -> Slate:
        """Find items by words; see `Query` and `calls.Question` for what a question may have."""
        return self._do(calls.search(text, **self._more, **more)).slate

    def recommend(self, user: Id | None = None, **more: Unpack[ForUser]) -> Slate:
        """Recommend items to a user, known or new; see `search` for what a question may have."""
        return self._do(calls.recommend(user, **self._more, **more)).slate

    def similar(self, items: Sequence[Id], **more: Unpack[Seeded]) -> Slate:
        """Find items like the given ones; see `search` for what a question may have."""
        return self._do(calls.similar(items, **self._more, **more)).slate

    def trending(self, **more: Unpack[Question]) -> Slate:
        """Say what many people like now; see `search` for what a question may have."""
        return self._do(calls.trending(**self._more, **more)).slate

    def suggest(self, text: str, k: int = 8) -> list[str]:
        """Complete what is being typed to titles."""
        return self._do(calls.suggest(text, k)).titles

    def facets(
        self,
        text: str | None = None,
        *,
        filters: Mapping[str, Any] | None = None,
        columns: Sequence[str] = (),
        k: int = 12,
    ) -> wire.Facets:
        """Count what items that match are like: the k most frequent values, or the range, of columns worth it."""
        return self._do(calls.facets(text, filters, columns, k))

    def catalogue(self) -> wire.Catalogue:
        """Return the columns of the catalogue."""
        return self._do(calls.catalogue())

    def explain(
        self,
        item: Id,
        *,
        text: str | None = None,
        user: Id | None = None,
        history: Sequence[Id] = (),
        items: Sequence[Id] = (),
    ) -> wire.Explanation:
        """Say what each retriever thinks of an item for a question, and because of what."""
        return self._do(calls.explain(item, text=text, user=user, history=history, items=items))

    def record(self, *events: Event) -> list[str]:
        """Store what people did, all or nothing, and return the ids; an event that is sent again changes nothing."""
        return self._do(calls.record(events)).ids

    def put_item(self, item: Id, attributes: Mapping[str, Any], *, available: bool = True) -> None:
        """Add an item, or say what is new about one; it is found within a second."""
        self._do(calls.put_item(item, attributes, available))

    def remove_item(self, item: Id) -> None:
        """Take an item off every path."""
        self._do(calls.remove("items", item))

    def item(self, item: Id) -> wire.Item:
        """Return what is known of an item."""
        return self._do(calls.show("items", item, wire.Item))

    def put_user(self, user: Id, attributes: Mapping[str, Any]) -> None:
        """Add a user, or say what is new about one."""
        self._do(calls.put_user(user, attributes))

    def remove_user(self, user: Id) -> None:
        """Forget what a user did and what is said of them."""
        self._do(calls.remove("users", user))

    def user(self, user: Id) -> wire.User:
        """Return what is known of a user."""
        return self._do(calls.show("users", user, wire.User))

    def users(self, text: str = "", k: int = 8) -> list[Id]:
        """Return users whose ids begin with a text."""
        return self._do(calls.users(text, k)).users

    def health(self) -> wire.Health:
        """Return how the server is."""
        return self._do(calls.health())

    def ladder(self) -> wire.Ladder:
        """Return the steps of the server's ladder, and the one in use."""
        return self._do(calls.ladder())

    def artifact(self) -> wire.About:
        """Return how the artifact that answers was made."""
        return self._do(calls.artifact())

    def artifacts(self) -> wire.Candidates:
        """Return the artifacts that could answer."""
        return self._do(calls.artifacts())

    def promote(self, folder: str) -> wire.Promoted:
        """Let another artifact answer."""
        return self._do(calls.promote(folder))

    def rollback(self, artifact: str) -> wire.Promoted:
        """Let the artifact before the given one, which answers now, answer again."""
        return self._do(calls.rollback(artifact))

    def experiments(self) -> list[wire.Figures]:
        """Return experiments and what they show, the newest first."""
        return self._do(calls.experiments()).experiments

    def start_experiment(self, name: str, arms: Sequence[wire.Arm]) -> wire.Figures:
        """Compare arms, the first of which is the control, on what is served from now on."""
        return self._do(calls.start_experiment(name, arms))

    def stop_experiment(self, name: str) -> wire.Figures:
        """Stop an experiment; its figures stay."""
        return self._do(calls.stop_experiment(name))

    def _do(self, call: Call[T]) -> T:
        """Send a request and return its answer.

        Raises:
            ApiError: there is none, or the server cannot be reached.
        """
        tries = Tries(call, self._seconds, retry=self._retry)
        while True:
            outcome: httpx2.Response | httpx2.TransportError
            try:
                outcome = self._http.request(**tries.request())
            except httpx2.TransportError as error:
                outcome = error
            wait = tries.again(outcome)
            if wait is None:
                return call.read(reached(self._http.base_url, outcome))
            time.sleep(wait)


class AsyncClient:
    """Asks a server, without blocking the event loop; it may be shared by tasks.

    Args:
        url: where the server is, as http://127.0.0.1:8000.
        key: an API key, where the server has any.
        timeout: seconds to wait for an answer.
        transport: how requests travel; by default over the network.
        priority: of its questions: whether somebody waits for them.
        deadline_ms: by when answers are wanted; what could only come later is refused at once.
        retry: whether a call is sent once more, in the time that is left, where its connection breaks or the server
            says to come back (503 with Retry-After).
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 10.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        priority: Priority = "standard",
        deadline_ms: float | None = None,
        retry: bool = True,
    ) -> None:
        self._more = {"priority": priority, "deadline_ms": deadline_ms}
        self._seconds, self._retry = timeout, retry
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, transport=transport, verify=_secured(url)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def search(self, text: str, **more: Unpack[Personal]) -> Slate:
        """Find items by words; see `Query` and `calls.Question` for what a question may have."""
        return (await self._do(calls.search(text, **self._more, **more))).slate

    async def recommend(self, user: Id | None = None, **more: Unpack[ForUser]) -> Slate:
        """Recommend items to a user, known or new; see `search` for what a question may have."""
        return (await self._do(calls.recommend(user, **self._more, **more))).slate

    async def similar(self, items: Sequence[Id], **more: Unpack[Seeded]) -> Slate:
        """Find items like the given ones; see `search` for what a question may have."""
        return (await self._do(calls.similar(items, **self._more, **more))).slate

    async def trending(self, **more: Unpack[Question]) -> Slate:
        """Say what many people like now; see `search` for what a question may have."""
        return (await self._do(calls.trending(**self._more, **more))).slate

    async def suggest(self, text: str, k: int = 8) -> list[str]:
        """Complete what is being typed to titles."""
        return (await self._do(calls.suggest(text, k))).titles

    async def facets(
        self,
        text: str | None = None,
        *,
        filters: Mapping[str, Any] | None = None,
        columns: Sequence[str] = (),
        k: int = 12,
    ) -> wire.Facets:
        """Count what items that match are like: the k most frequent values, or the range, of columns worth it."""
        return await self._do(calls.facets(text, filters, columns, k))

    async def catalogue(self) -> wire.Catalogue:
        """Return the columns of the catalogue."""
        return await self._do(calls.catalogue())

    async def explain(
        self,
        item: Id,
        *,
        text: str | None = None,
        user: Id | None = None,
        history: Sequence[Id] = (),
        items: Sequence[Id] = (),
    ) -> wire.Explanation:
        """Say what each retriever thinks of an item for a question, and because of what."""
        return await self._do(calls.explain(item, text=text, user=user, history=history, items=items))

    async def record(self, *events: Event) -> list[str]:
        """Store what people did, all or nothing, and return the ids; an event that is sent again changes nothing."""
        return (await self._do(calls.record(events))).ids

    async def put_item(self, item: Id, attributes: Mapping[str, Any], *, available: bool = True) -> None:
        """Add an item, or say what is new about one; it is found within a second."""
        await self._do(calls.put_item(item, attributes, available))

    async def remove_item(self, item: Id) -> None:
        """Take an item off every path."""
        await self._do(calls.remove("items", item))

    async def item(self, item: Id) -> wire.Item:
        """Return what is known of an item."""
        return await self._do(calls.show("items", item, wire.Item))

    async def put_user(self, user: Id, attributes: Mapping[str, Any]) -> None:
        """Add a user, or say what is new about one."""
        await self._do(calls.put_user(user, attributes))

    async def remove_user(self, user: Id) -> None:
        """Forget what a user did and what is said of them."""
        await self._do(calls.remove("users", user))

    async def user(self, user: Id) -> wire.User:
        """Return what is known of a user."""
        return await self._do(calls.show("users", user, wire.User))

    async def users(self, text: str = "", k: int = 8) -> list[Id]:
        """Return users whose ids begin with a text."""
        return (await self._do(calls.users(text, k))).users

    async def health(self) -> wire.Health:
        """Return how the server is."""
        return await self._do(calls.health())

    async def ladder(self) -> wire.Ladder:
        """Return the steps of the server's ladder, and the one in use."""
        return await self._do(calls.ladder())

    async def artifact(self) -> wire.About:
        """Return how the artifact that answers was made."""
        return await self._do(calls.artifact())

    async def artifacts(self) -> wire.Candidates:
        """Return the artifacts that could answer."""
        return await self._do(calls.artifacts())

    async def promote(self, folder: str) -> wire.Promoted:
        """Let another artifact answer."""
        return await self._do(calls.promote(folder))

    async def rollback(self, artifact: str) -> wire.Promoted:
        """Let the artifact before the given one, which answers now, answer again."""
        return await self._do(calls.rollback(artifact))

    async def experiments(self) -> list[wire.Figures]:
        """Return experiments and what they show, the newest first."""
        return (await self._do(calls.experiments())).experiments

    async def start_experiment(self, name: str, arms: Sequence[wire.Arm]) -> wire.Figures:
        """Compare arms, the first of which is the control, on what is served from now on."""
        return await self._do(calls.start_experiment(name, arms))

    async def stop_experiment(self, name: str) -> wire.Figures:
        """Stop an experiment; its figures stay."""
        return await self._do(calls.stop_experiment(name))

    async def _do(self, call: Call[T]) -> T:
        """Send a request and return its answer.

        Raises:
            ApiError: there is none, or the server cannot be reached.
        """
        tries = Tries(call, self._seconds, retry=self._retry)
        while True:
            outcome: httpx2.Response | httpx2.TransportError
            try:
                outcome = await self._http.request(**tries.request())
            except httpx2.TransportError as error:
                outcome = error
            wait = tries.again(outcome)
            if wait is None:
                return call.read(reached(self._http.base_url, outcome))
            await asyncio.sleep(wait)


def reached(url: object, outcome: httpx2.Response | Exception) -> httpx2.Response:
    """Return the response, where there is one.

    Raises:
        ApiError: the server does not answer.
    """
    if isinstance(outcome, Exception):
        said = f"{url} does not answer ({type(outcome).__name__}); check that the server runs there."
        raise ApiError(0, said) from outcome
    return outcome


def _secured(url: str) -> bool:
    """Return whether certificates are wanted; reading them takes long, and plain HTTP has none."""
    return not url.startswith("http://")
