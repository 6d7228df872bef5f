"""The requests that a client sends, each with the type of its answer; the two clients differ only in how they wait."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from twofold.core.errors import TwofoldError
from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.serve import wire

__all__ = ["ApiError", "Call", "ForUser", "Personal", "Question", "Seeded", "Tries"]

T = TypeVar("T")


class Question(TypedDict, total=False):
    """What every question may have; see `Query`."""

    k: int
    filters: Mapping[str, Any] | None
    exclude: Sequence[Id]
    diversity: float
    show: Sequence[str]
    """Columns of the catalogue that `Slate.attributes` is to hold for each pick."""
    session: Id | None
    """Where there is no user, what stays the same while one person asks, so that an experiment gives it one arm."""


class ForUser(Question, total=False):
    """What a recommendation may have, too."""

    history: Sequence[Id]
    repeat: bool


class Seeded(Question, total=False):
    """What a question for similar items may have, too."""

    user: Id | None
    repeat: bool


class Personal(ForUser, total=False):
    """What a search may have, too."""

    user: Id | None


class ApiError(TwofoldError):
    """The server did not do what was asked; `status` is that of HTTP, 0 where it could not be reached.

    Args:
        status: the status.
        detail: what the server says of it.
        retry_after: seconds to wait before another try, where the server says so.
    """

    def __init__(self, status: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request and the type of its answer."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    answer: type[T]
    body: dict[str, Any] | None = None
    query: dict[str, Any] | None = None

    def request(self) -> dict[str, Any]:
        """Return the request as the HTTP client wants it."""
        if self.body is None:
            return {"method": self.method, "url": self.path, "params": self.query}
        content = msgspec.json.encode({name: value for name, value in self.body.items() if value is not None})
        return {
            "method": self.method,
            "url": self.path,
            "content": content,
            "headers": {"Content-Type": "application/json"},
        }

    def read(self, response: httpx2.Response) -> T:
        """Return the answer in a response.

        Raises:
            ApiError: it holds none.
        """
        if not response.is_success:
            try:
                detail = msgspec.json.decode(response.content, type=wire.Problem).detail
            except msgspec.MsgspecError:
                detail = f"the server answered {response.status_code} without saying why; see its log."
            raise ApiError(response.status_code, detail, _patience(response))
        try:
            return msgspec.json.decode(response.content, type=self.answer)
        except msgspec.MsgspecError as error:
            raise ApiError(
                response.status_code, f"the answer is of another version ({error}); use the server's version."
            ) from None


class Tries:
    """The tries of one call: a second one where the first met a broken connection, or a 503 that says when.

    Every call may be sent twice: a question changes nothing, an event counts once by its id, and what is put or
    removed twice is put or removed.

    Args:
        call: what is asked.
        seconds: how long all of it may take; less where the call has a deadline.
        retry: whether there may be a second try.
        clock: seconds that only rise.
    """

    def __init__(
        self, call: Call[Any], seconds: float, *, retry: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        deadline = (call.body or {}).get("deadline_ms")
        self.call, self._retry, self._clock = call, retry, clock
        self._deadline = deadline is not None
        self._until = clock() + (seconds if deadline is None else min(seconds, deadline / 1000))
        self._tried = False

    def request(self) -> dict[str, Any]:
        """Return the request of the next try; a second one has what is left of the time."""
        if not self._tried:
            self._tried = True
            return self.call.request()
        left = max(self._until - self._clock(), 0.001)
        shorter = {"deadline_ms": left * 1000} if self._deadline else {}
        call = msgspec.structs.replace(self.call, body={**self.call.body, **shorter} if self.call.body else None)
        return {**call.request(), "timeout": left}

    def again(self, outcome: httpx2.Response | httpx2.TransportError) -> float | None:
        """Return in how many seconds to try again; None where the outcome stands."""
        if isinstance(outcome, httpx2.TransportError):
            wait = _broken(outcome)
        else:
            wait = _patience(outcome) if outcome.status_code == 503 else None
        if not self._retry or wait is None or self._clock() + wait >= self._until:
            return None
        self._retry = False
        return wait


def _patience(response: httpx2.Response) -> float | None:
    """Return how long a server asks to wait."""
    wait = response.headers.get("retry-after", "")
    return float(wait) if wait.isdecimal() else None


def _broken(error: httpx2.TransportError) -> float | None:
    """Return 0 where a connection broke, as when a worker dies; another one answers at once."""
    return 0.0 if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError) else None


def search(text: str, **more: Any) -> Call[wire.Served]:
    return Call(method="POST", path="/search", answer=wire.Served, body={"text": text, **more})


def recommend(user: Id | None, **more: Any) -> Call[wire.Served]:
    return Call(method="POST", path="/recommend", answer=wire.Served, body={"user": user, **more})


def similar(items: Sequence[Id], **more: Any) -> Call[wire.Served]:
    return Call(method="POST", path="/similar", answer=wire.Served, body={"items": items, **more})


def trending(**more: Any) -> Call[wire.Served]:
    return Call(method="POST", path="/trending", answer=wire.Served, body=more)


def suggest(text: str, k: int) -> Call[wire.Suggestions]:
    return Call(method="GET", path="/suggest", answer=wire.Suggestions, query={"text": text, "k": k})


def facets(text: str | None, filters: Mapping[str, Any] | None, columns: Sequence[str], k: int) -> Call[wire.Facets]:
    body = {"text": text, "filters": filters, "columns": columns, "k": k}
    return Call(method="POST", path="/facets", answer=wire.Facets, body=body)


def catalogue() -> Call[wire.Catalogue]:
    return Call(method="GET", path="/catalogue", answer=wire.Catalogue)


def explain(item: Id, **more: Any) -> Call[wire.Explanation]:
    return Call(method="POST", path="/explain", answer=wire.Explanation, body={"item": item, **more})


def record(events: Sequence[Event]) -> Call[wire.Accepted]:
    names = ("kind", "item", "user", "value", "slate", "timestamp", "id")
    told = [{name: value for name in names if (value := getattr(event, name)) is not None} for event in events]
    return Call(method="POST", path="/events/batch", answer=wire.Accepted, body={"events": told})


def put_item(item: Id, attributes: Mapping[str, Any], available: bool) -> Call[wire.Accepted]:
    body = {"attributes": dict(attributes), "available": available}
    return Call(method="PUT", path=_of("items", item), answer=wire.Accepted, body=body)


def put_user(user: Id, attributes: Mapping[str, Any]) -> Call[wire.Accepted]:
    return Call(method="PUT", path=_of("users", user), answer=wire.Accepted, body={"attributes": dict(attributes)})


def show(what: Literal["items", "users"], id_: Id, answer: type[T]) -> Call[T]:
    return Call(method="GET", path=_of(what, id_), answer=answer)


def remove(what: Literal["items", "users"], id_: Id) -> Call[wire.Accepted]:
    return Call(method="DELETE", path=_of(what, id_), answer=wire.Accepted)


def users(text: str, k: int) -> Call[wire.Users]:
    return Call(method="GET", path="/users", answer=wire.Users, query={"text": text, "k": k})


def health() -> Call[wire.Health]:
    return Call(method="GET", path="/health", answer=wire.Health)


def ladder() -> Call[wire.Ladder]:
    return Call(method="GET", path="/ladder", answer=wire.Ladder)


def artifact() -> Call[wire.About]:
    return Call(method="GET", path="/artifact", answer=wire.About)


def artifacts() -> Call[wire.Candidates]:
    return Call(method="GET", path="/artifacts", answer=wire.Candidates)


def promote(folder: str) -> Call[wire.Promoted]:
    return Call(method="POST", path="/promote", answer=wire.Promoted, body={"folder": folder})


def rollback(artifact: str) -> Call[wire.Promoted]:
    return Call(method="POST", path="/rollback", answer=wire.Promoted, body={"artifact": artifact})


def experiments() -> Call[wire.Experiments]:
    return Call(method="GET", path="/experiments", answer=wire.Experiments)


def start_experiment(name: str, arms: Sequence[wire.Arm]) -> Call[wire.Figures]:
    return Call(method="POST", path="/experiments", answer=wire.Figures, body={"name": name, "arms": arms})


def stop_experiment(name: str) -> Call[wire.Figures]:
    return Call(method="POST", path=f"{_of('experiments', name)}/stop", answer=wire.Figures, body={})


def _of(what: str, id_: Id) -> str:
    return f"/{what}/{quote(str(id_), safe='')}"
