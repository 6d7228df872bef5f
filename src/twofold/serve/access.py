"""Who may ask: API keys where there are any, else this machine alone."""

import math
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.requests import Request

from twofold.serve.keys import Role
from twofold.serve.problems import Refusal
from twofold.serve.server import Server
from twofold.serve.settings import is_loopback

__all__ = ["admit", "may"]


def admit(server: Server, request: Request, role: Role | None) -> None:
    """Let a request pass that may do what a role may.

    Without keys, a request must also name this machine as its host: else a web page could, by a name that it lets
    lead here, ask in the place of the person who looks at it.

    Raises:
        Refusal: it may not, or comes too soon after others of the same key.
    """
    if server.keyring is None:
        if not _names_this_machine(request.headers.get("host", "")):
            raise Refusal(403, "this server answers only to its own machine; ask it as 127.0.0.1 or give it keys.")
        return
    if role is None:
        return
    key = server.keyring.find(_token(request))
    if key is None:
        raise Refusal(
            401, "the request has no valid API key; send Authorization: Bearer <key>.", {"WWW-Authenticate": "Bearer"}
        )
    if not key.may(role):
        raise Refusal(403, f"this takes a key of role {role!r}, and this one is of role {key.role!r}; use another.")
    wait = server.keyring.wait(key)
    if wait > 0:
        raise Refusal(
            429,
            f"this key may ask {key.rate:g} times a second; wait {wait:.2f} s.",
            {"Retry-After": str(math.ceil(wait))},
        )


def may(server: Server, request: Request, role: Role) -> bool:
    """Return whether whoever asks may do what a role may, where all may ask."""
    if server.keyring is None:
        return True
    key = server.keyring.find(_token(request))
    return key is not None and key.may(role)


def _token(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")


@lru_cache(maxsize=16)
def _names_this_machine(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
