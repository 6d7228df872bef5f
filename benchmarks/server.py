"""A real server in processes of its own, for what is measured over HTTP."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from twofold.core import Dataset, Ladder, Pipeline
from twofold.core.ladder import Rung
from twofold.flows import default_recipe

__all__ = ["Running", "fitted", "part_of", "serving"]

URL = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    url: str
    process: int
    log: Path
    """What it wrote to its standard error."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])


def fitted(dataset: Dataset, folder: Path) -> Path:
    """Fit the default recipe with the weights that it names, and save it into a folder."""
    Pipeline(replace(default_recipe(), tune={})).fit(dataset, rng=0).save(folder / "artifact")
    return folder / "artifact"


def part_of(source: Path, rungs: Sequence[Rung], folder: Path) -> Path:
    """Write a ladder of some rungs of another one."""
    (folder / "rungs").mkdir(parents=True)
    chosen = []
    for place, rung in enumerate(rungs):
        shutil.copytree(source / rung.folder, folder / "rungs" / str(place))
        chosen.append(replace(rung, folder=f"rungs/{place}"))
    Ladder(rungs=chosen).write(folder)
    return folder


@contextmanager
def serving(
    artifact: Path,
    *options: str | Path,
    command: list[str] | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Running]:
    """Run a server until the block ends.

    Args:
        artifact: what it serves; the event store and the log lie beside it.
        options: further ones of `twofold serve`.
        command: another server, which writes its address when it listens.
        env: more for its environment.
        log: where its standard error goes, in place of a file beside the artifact.
    """
    own = [sys.executable, "-c", "from twofold.cli import main; main()", "serve", str(artifact), "--port", "0"]
    log = log or artifact.parent / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command or [*own, *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "COLUMNS": "300", **(env or {})},
        )
    try:
        assert process.stdout is not None
        found = next((match for line in process.stdout if (match := URL.search(line))), None)
        if found is None:
            raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2_000:]}")
        yield Running(found[0], process.pid, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
