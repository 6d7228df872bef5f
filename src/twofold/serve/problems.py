"""`Refusal`: a request that cannot be answered, as a problem of RFC 9457 in one sentence that says what to do."""

import logging
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from twofold.core.errors import StoreError, TwofoldError
from twofold.serve.wire import Problem, encoded

__all__ = ["Refusal", "answer_problem", "problem_of"]

log = logging.getLogger("twofold.serve")

TITLES = {
    400: "the request cannot be read",
    401: "an API key is needed",
    403: "this API key may not do that",
    404: "there is no such thing here",
    405: "the method does not fit the path",
    408: "the request took too long to arrive",
    409: "something has changed meanwhile",
    413: "the request is too large",
    415: "the request is of another type",
    422: "the request asks for something that cannot be done",
    429: "too many requests",
    499: "nobody listens any more",
    500: "the server failed",
    503: "the server cannot do that now",
}


class Refusal(Exception):  # noqa: N818  it is an answer, not a fault
    """A request that is answered with a problem.

    Args:
        status: the status of HTTP.
        detail: one sentence: what was wrong, and what to do.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def problem_of(error: Exception) -> Refusal:
    """Return how an error is told to the caller; what no one foresaw is logged, and says nothing of itself."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, msgspec.ValidationError):
        return Refusal(422, f"{_sentence(str(error))}; see /docs for what the request may hold.")
    if isinstance(error, msgspec.DecodeError | RecursionError | UnicodeError):
        return Refusal(400, "the body is not valid JSON; send JSON in UTF-8.")
    if isinstance(error, StoreError):
        log.error("the event store failed: %s", error)
        return Refusal(503, "events cannot be stored or read now; try again soon.", {"Retry-After": "1"})
    if isinstance(error, TwofoldError):
        return Refusal(422, str(error))
    if isinstance(error, HTTPException):
        detail = {
            404: "there is nothing at this path; /docs lists what there is.",
            405: "this path takes another method; /docs lists which.",
        }
        return Refusal(error.status_code, detail.get(error.status_code, error.detail), dict(error.headers or {}))
    log.error("a request failed", exc_info=error)
    return Refusal(500, "something went wrong here, and was logged; try again.")


def answer_problem(_: Request, error: Exception) -> Response:
    """Answer a request with a problem."""
    told = problem_of(error)
    problem = Problem(title=TITLES.get(told.status, "the request failed"), status=told.status, detail=told.detail)
    return Response(encoded(problem), told.status, told.headers, media_type="application/problem+json")


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:]
