"""The requests that a client sends, each with the type of its answer; the two clients differ only in how they wait."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import httpx2
import msgspec

from twofold.core.errors import TwofoldError
from twofold.core.event import Event
from twofold.core.ids import Id
from twofold.serve import wire

__all__ = ["ApiError", "Call"]


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


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request and the type of its answer."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    answer: type
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

    def read(self, response: httpx2.Response) -> Any:
        """Return the answer in a response.

        Raises:
            ApiError: it holds none.
        """
        if not response.is_success:
            wait = response.headers.get("retry-after", "")
            try:
                detail = msgspec.json.decode(response.content, type=wire.Problem).detail
            except msgspec.MsgspecError:
                detail = f"the server answered {response.status_code} without saying why; see its log."
            raise ApiError(response.status_code, detail, float(wait) if wait.isdecimal() else None)
        try:
            return msgspec.json.decode(response.content, type=self.answer)
        except msgspec.MsgspecError as error:
            raise ApiError(
                response.status_code, f"the answer is of another version ({error}); use the server's version."
            ) from None


def search(text: str, **more: Any) -> Call:
    return Call(method="POST", path="/search", answer=wire.Served, body={"text": text, **more})


def recommend(user: Id | None, **more: Any) -> Call:
    return Call(method="POST", path="/recommend", answer=wire.Served, body={"user": user, **more})


def similar(items: Sequence[Id], **more: Any) -> Call:
    return Call(method="POST", path="/similar", answer=wire.Served, body={"items": items, **more})


def trending(**more: Any) -> Call:
    return Call(method="POST", path="/trending", answer=wire.Served, body=more)


def suggest(text: str, k: int) -> Call:
    return Call(method="GET", path="/suggest", answer=wire.Suggestions, query={"text": text, "k": k})


def explain(item: Id, **more: Any) -> Call:
    return Call(method="POST", path="/explain", answer=wire.Explanation, body={"item": item, **more})


def record(events: Sequence[Event]) -> Call:
    names = ("kind", "item", "user", "value", "slate", "timestamp", "id")
    told = [{name: value for name in names if (value := getattr(event, name)) is not None} for event in events]
    return Call(method="POST", path="/events/batch", answer=wire.Accepted, body={"events": told})


def put_item(item: Id, attributes: Mapping[str, Any], available: bool) -> Call:
    body = {"attributes": dict(attributes), "available": available}
    return Call(method="PUT", path=_of("items", item), answer=wire.Accepted, body=body)


def put_user(user: Id, attributes: Mapping[str, Any]) -> Call:
    return Call(method="PUT", path=_of("users", user), answer=wire.Accepted, body={"attributes": dict(attributes)})


def show(what: Literal["items", "users"], id_: Id, answer: type) -> Call:
    return Call(method="GET", path=_of(what, id_), answer=answer)


def remove(what: Literal["items", "users"], id_: Id) -> Call:
    return Call(method="DELETE", path=_of(what, id_), answer=wire.Accepted)


def health() -> Call:
    return Call(method="GET", path="/health", answer=wire.Health)


def _of(what: str, id_: Id) -> str:
    return f"/{what}/{quote(str(id_), safe='')}"
