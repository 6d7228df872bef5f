"""The page in a real browser: `web/tests`, against servers that are started as people start them."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.ladders import searching, words_of, write_encoder, write_ladder
from tests.serve.test_running import started

from twofold.data import Simulation, simulate
from twofold.flows import default_recipe, evaluate
from twofold.serve.keys import add_key
from twofold.serve.promotion import promote

WEB = Path(__file__).resolve().parents[2] / "web"
RUNNER = WEB / "node_modules" / ".bin" / "playwright"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two artifacts that search by words and by vectors, a ladder beside them, and a link to the first."""
    dataset = simulate(Simulation(users=60, items=160, events=2_000, seed=7))[0]
    recipe = replace(default_recipe(), tune={})
    quality = evaluate(dataset, recipe).as_dict()
    words = words_of(dataset)
    (tmp_path / "ladder").mkdir()
    write_ladder(tmp_path / "ladder", words, seed=1)
    pipeline = searching(dataset, write_encoder(tmp_path / "encoder", words, seed=1), recipe)
    pipeline.save(tmp_path / "first", description={"quality": quality})
    pipeline.save(tmp_path / "second")
    promote(tmp_path / "first", tmp_path / "current")
    return tmp_path


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here; install it to test the page")
@pytest.mark.skipif(not RUNNER.exists(), reason="web/node_modules is missing; `make check-web` installs it")
def test_the_page_does_in_a_browser_what_it_should(folder: Path) -> None:
    keys = folder / "keys.json"
    env = {
        **os.environ,
        "TWOFOLD_CHROMIUM": str(CHROMIUM),
        "TWOFOLD_READ_KEY": add_key(keys, "reader", "read"),
        "TWOFOLD_ADMIN_KEY": add_key(keys, "operator", "admin"),
    }
    link = folder / "current"
    with (
        started(link, "--events", folder / "events.db") as url,
        started(link, "--events", folder / "keyed.db", "--keys", keys) as keyed,
    ):
        done = subprocess.run(
            [RUNNER, "test", "--config", "tests/playwright.config.ts"],
            cwd=WEB,
            env={**env, "TWOFOLD_URL": url, "TWOFOLD_KEYED_URL": keyed},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
