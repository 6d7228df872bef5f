"""One small artifact for all tests of the server, and servers that answer over it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from twofold.core import Pipeline
from twofold.data import Simulation, simulate
from twofold.flows import default_recipe
from twofold.serve.app import create_app
from twofold.serve.server import Server
from twofold.serve.settings import Settings

T = TypeVar("T")


@pytest.fixture(scope="session")
def fitted() -> Pipeline:
    dataset = simulate(Simulation(users=40, items=60, events=900, seed=7))[0]
    return Pipeline(replace(default_recipe(), tune={})).fit(dataset, rng=0)


@pytest.fixture(scope="session")
def artifact(fitted: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fitted") / "artifact"
    fitted.save(path)
    return path


class Caller:
    """Asks an application in this process, without a network."""

    def __init__(self, app: Starlette, loop: asyncio.AbstractEventLoop) -> None:
        self.server: Server = app.state.server
        self.app, self._loop = app, loop
        transport = httpx2.ASGITransport(app, raise_app_exceptions=True)
        self._http = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def __call__(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return self.run(self._http.request(method, path, **more))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the application's loop."""
        return self._loop.run_until_complete(work)

    def gather(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx2.Response]:
        """Ask several things at once."""

        async def together() -> list[httpx2.Response]:
            return await asyncio.gather(*(self._http.request(method, path, **more) for method, path, more in requests))

        return self.run(together())

    def post(self, path: str, **body: Any) -> Any:
        """Post JSON and return the answer's."""
        response = self("POST", path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def picks(self, path: str, **body: Any) -> list[Any]:
        """Return the items of a slate."""
        return [pick["item"] for pick in self.post(path, **body)["slate"]["picks"]]


@contextmanager
def calling(settings: Settings) -> Iterator[Caller]:
    """Run an application in this process."""
    app, loop = create_app(settings), asyncio.new_event_loop()
    lifespan = app.router.lifespan_context(app)
    loop.run_until_complete(lifespan.__aenter__())
    try:
        yield Caller(app, loop)
    finally:
        loop.run_until_complete(lifespan.__aexit__(None, None, None))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.fixture
def settings(artifact: Path, tmp_path: Path) -> Settings:
    return Settings(artifact=artifact, events=tmp_path / "events.db")


@pytest.fixture
def call(settings: Settings) -> Iterator[Caller]:
    with calling(settings) as caller:
        yield caller


@pytest.fixture(scope="session")
def steady(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """An application that many tests share, since they leave nothing behind that others see."""
    with calling(Settings(artifact=artifact, events=tmp_path_factory.mktemp("steady") / "events.db")) as caller:
        yield caller


@contextmanager
def serving(settings: Settings, **more: Any) -> Iterator[str]:
    """Run a server on a free port in a thread; gives its address."""
    bound = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(settings), log_level="error", lifespan="on", ws="none", **more)
    server, started = uvicorn.Server(config), threading.Event()
    startup = server.startup

    async def tell(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = tell  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert started.wait(60)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def until(holds: Callable[[], bool], tries: int = 400) -> bool:
    """Ask until something holds; a server under load answers slowly, so it is tries that are counted.

    Between them the machine is left to what is waited for.
    """
    pause = threading.Event()
    return any(holds() or pause.wait(0.01) for _ in range(tries))
