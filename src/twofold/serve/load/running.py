"""`run_load`: asks a server what it is, sends a trace of questions, and reports."""

from typing import TypeVar

import httpx2
import numpy as np

from twofold.serve import wire
from twofold.serve.calls import ApiError, Call, health, ladder
from twofold.serve.client import reached
from twofold.serve.load.arrivals import Trace
from twofold.serve.load.caches import Caches, read_caches
from twofold.serve.load.questions import Asking, Catalogue, draw
from twofold.serve.load.report import Report
from twofold.serve.load.sending import send

__all__ = ["run_load"]

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds beyond the longest deadline that is asked for, in which answers are waited for."""


class _Told:
    """Asks a server about itself."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=10.0, verify=url.startswith("https://"))

    def ladder(self) -> wire.Ladder:
        """Return its ladder.

        Raises:
            ApiError: it does not answer, or not to this key.
        """
        self._read(health())
        return self._read(ladder())

    def caches(self) -> Caches:
        """Return hits and misses of what is kept, vectors and slates; nothing where the key may not know."""
        response = self._get(method="GET", url="/metrics")
        return read_caches(response.text if response.is_success else "")

    def _read(self, call: Call[T]) -> T:
        return call.read(self._get(**call.request()))

    def close(self) -> None:
        self._http.close()

    def _get(self, **request: object) -> httpx2.Response:
        outcome: httpx2.Response | Exception
        try:
            outcome = self._http.request(**request)  # type: ignore[arg-type]
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            outcome = error
        return reached(self._http.base_url, outcome)


def run_load(
    url: str, trace: Trace, catalogue: Catalogue, asking: Asking | None = None, *, key: str | None = None, seed: int = 0
) -> Report:
    """Send the questions of a trace to a server when they are due, and report what became of them.

    Args:
        url: where the server is, as http://127.0.0.1:8000.
        trace: when questions come.
        catalogue: what may be asked for.
        asking: how questions are drawn.
        key: an API key, where the server has any; one of role admin also learns how much was kept.
        seed: of everything random.

    Raises:
        ApiError: the server does not answer, or not to this key.
        ConfigError: the address is none, or there is no text to search for.
    """
    asking, rng = asking or Asking(), np.random.default_rng(seed)
    moments = trace.moments(rng)
    questions = draw(len(moments), catalogue, asking, rng)
    told = _Told(url, key)
    try:
        qualities = {rung.name: rung.quality for rung in told.ladder().rungs}
        before = told.caches()
        longest = max((asking.deadlines[question.priority] for question in questions), default=0.0) / 1000
        answers = send(url, key, questions, moments, patience=longest + PATIENCE)
        after = _after(told)
    finally:
        told.close()
    return Report(
        trace=trace,
        questions=questions,
        answers=answers,
        deadlines=asking.deadlines,
        qualities=qualities,
        caches=after - before,
    )


def _after(told: _Told) -> Caches:
    """Return the counts once more; a server that the trace has killed says nothing, and the trace is told of anyway."""
    try:
        return told.caches()
    except ApiError:
        return Caches()
