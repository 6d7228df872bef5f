"""`create_app`: the ASGI application, made from the operations."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twofold.events import EventStore
from twofold.serve.access import admit
from twofold.serve.bundle import Asset, answer_asset, read_bundle
from twofold.serve.description import describe, page
from twofold.serve.gathering import plain
from twofold.serve.operations import OPERATIONS, Operation
from twofold.serve.problems import Refusal, answer_problem
from twofold.serve.server import Server
from twofold.serve.settings import Settings
from twofold.serve.wire import encoded

__all__ = ["create_app"]

Endpoint = Callable[[Request], Awaitable[Response]]

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]


def create_app(settings: Settings, store: EventStore | None = None) -> Starlette:
    """Make the application of one worker; `app.state.server` is its `Server` while it runs.

    Args:
        settings: how it runs.
        store: the events; by default those of the file that the settings name.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server = Server(settings, store)
        app.state.server = server
        server.start()
        try:
            yield
        finally:
            await asyncio.to_thread(server.stop)

    routes = [
        Route(operation.path.replace("}", ":path}"), _endpoint(operation), methods=[operation.method])
        for operation in OPERATIONS
    ]
    routes += [
        Route("/metrics", _metrics, methods=["GET"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
        Route("/docs", _docs, methods=["GET"]),
        *(Route(path, _asset(asset), methods=["GET"]) for path, asset in read_bundle().items()),
    ]
    middleware = [Middleware(_Secured)]
    if settings.origins:
        cross = Middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
        middleware.append(cross)
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: answer_problem, Exception: answer_problem},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _endpoint(operation: Operation) -> Endpoint:
    """Return what answers the requests for an operation, however they end."""
    decoder: msgspec.json.Decoder[Any] | None = None if operation.asks is None else msgspec.json.Decoder(operation.asks)

    async def answer(request: Request) -> Response:
        server: Server = request.app.state.server
        begun = time.perf_counter()
        try:
            admit(server, request, operation.role)
            ask = None
            if decoder is not None and operation.method == "GET":
                ask = msgspec.convert(dict(request.query_params), operation.asks, strict=False)
            elif decoder is not None:
                ask = decoder.decode(await _body(request, server.settings))
            response = Response(encoded(await operation.handler(server, request, ask)), media_type="application/json")
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            response = answer_problem(request, plain(error))
        server.metrics.answered(operation.path, operation.method, response.status_code, time.perf_counter() - begun)
        return response

    return answer


async def _body(request: Request, settings: Settings) -> bytes:
    """Read a body of JSON within the bounds of size and time."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "the body is not said to be JSON; send Content-Type: application/json.")
    most = settings.largest_body
    too_large = Refusal(413, f"the body has more than {most:,} bytes; send less at once.", {"Connection": "close"})
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, "the body did not arrive in time; send it faster.", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Refusal(400, "the body ended early; send it whole.") from None
    return b"".join(parts)


async def _metrics(request: Request) -> Response:
    server: Server = request.app.state.server
    try:
        admit(server, request, "admin")
        await asyncio.to_thread(server.health)
        text = await asyncio.to_thread(server.metrics.text)
    except Exception as error:
        return answer_problem(request, error)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _openapi(_: Request) -> Response:
    return Response(encoded(describe()), media_type="application/json")


async def _docs(_: Request) -> Response:
    return Response(page(), media_type="text/html; charset=utf-8")


def _asset(asset: Asset) -> Endpoint:
    """Return what answers requests for a file of the page, which are open as the description is."""

    async def answer(request: Request) -> Response:
        try:
            admit(request.app.state.server, request, None)
        except Refusal as error:
            return answer_problem(request, error)
        return answer_asset(request, asset)

    return answer


class _Secured:
    """Puts the headers that browsers heed on every answer that does not say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = [header for header in HEADERS if header[0] not in own]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self.app(scope, receive, secured if scope["type"] == "http" else send)
