from pathlib import Path

import pytest

from twofold.core import Pipeline, Query
from twofold.flows.demo import run_demo


@pytest.mark.usefixtures("no_network", "small_demo")
def test_the_demo_leaves_a_measured_artifact_and_a_report(tmp_path: Path) -> None:
    said: list[str] = []
    told: set[str] = set()
    result = run_demo(None, tmp_path / "demo", say=said.append, progress=lambda what, *_: told.add(what))
    assert "simulated" in said[0]
    assert len(result.slates) == 4
    assert all(len(slate) == 5 or slate.shortfall for slate in result.slates.values())
    page = result.report.read_text(encoding="utf-8")
    assert page.lstrip().startswith("<!doctype html>") or page.lstrip().startswith("<!DOCTYPE html>")
    assert "default (fused)" in page
    assert len(Pipeline.load(result.artifact).run(Query(k=5))) == 5
    assert {"fit: ease", "evaluate: item-knn"} <= told
