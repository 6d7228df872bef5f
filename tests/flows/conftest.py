"""A small simulated catalogue for whole flows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twofold.core import Dataset, Histories
from twofold.data import Simulation, simulate
from twofold.encoders.text.finetune import FineTune
from twofold.flows import shipped_recipe


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return simulate(Simulation(users=120, items=150, events=6_000, seed=2))[0]


@pytest.fixture
def small_demo(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a demo without data and network simulate the small catalogue, and learn from it but briefly."""
    monkeypatch.setattr("twofold.flows.obtain.simulate", lambda: (dataset, None))
    monkeypatch.setattr("twofold.flows.demo.FINETUNE", FineTune(steps=1, batch_size=4, held_out_most=10))
    recipe = shipped_recipe("language")
    brief = recipe.retrieve["sequential"] | {"training": {"epochs": 1}}
    brief_recipe = replace(recipe, retrieve={**recipe.retrieve, "sequential": brief})
    monkeypatch.setattr("twofold.flows.demo.shipped_recipe", lambda _: brief_recipe)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let every download fail at once, and no earlier copy be found."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def make_log(dataset: Dataset) -> Callable[[Sequence[Sequence[int]]], Dataset]:
    """Make a log of item codes, one list a user, a second between events, on the simulated catalogue."""

    def make(lists: Sequence[Sequence[int]]) -> Dataset:
        log = Histories.from_lists([*lists, *([()] * (len(dataset.users) - len(lists)))])
        return dataset.with_log(replace(log, timestamps=np.arange(len(log.items)) * 1_000))

    return make
