"""`twofold compress` from a folder and a catalogue to a ladder, with a tiny model."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.flows.compress.conftest import QUICK, write_bert

from twofold import flows
from twofold.cli import main
from twofold.core import Dataset, Ladder
from twofold.flows.compress import Compress
from twofold.flows.compress import search as module
from twofold.flows.compress.coats import coats


@pytest.fixture
def catalogue(dataset: Dataset, tmp_path: Path) -> tuple[Path, Path]:
    """The simulated catalogue as a shop would bring it: clicks and items, as CSV."""
    clicks, items = tmp_path / "clicks.csv", tmp_path / "items.csv"
    dataset.interactions.select("user", "item", "timestamp").write_csv(clicks)
    dataset.items.select("item", "title").write_csv(items)
    return clicks, items


def test_a_folder_becomes_a_ladder(
    catalogue: tuple[Path, Path],
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    clicks, items = catalogue
    words = sorted({word for title in dataset.items["title"] for word in title.lower().split()})
    model = write_bert(tmp_path / "bert", words)
    quick = partial(Compress, quick=QUICK, thorough=QUICK, bodies=("tokens",), steady=0.9)
    monkeypatch.setattr(flows.compress, "Compress", quick)
    monkeypatch.setattr(module, "coats", lambda: [coat for coat in coats() if coat.name in ("float32", "int8")])
    ladder = tmp_path / "ladder"
    told = ["--data", clicks, "--items", items, "--folder", ladder, "--budget", "1h", "--quality-floor", "0.5"]
    monkeypatch.setattr(sys, "argv", ["twofold", "compress", *map(str, (model, *told))])
    with pytest.raises(SystemExit) as stopped:
        main()
    out, err = capfd.readouterr()
    assert stopped.value.code in (0, None), err
    assert "rungs that keep 50% of the quality" in out
    assert "report:" in err
    page = (ladder / "report.html").read_text(encoding="utf-8")
    found = Ladder.read(ladder)
    assert found.teacher is not None
    for rung in found.rungs:
        assert rung.name in page
        assert {file.name for file in (ladder / rung.folder).iterdir()} >= {"onnx", "tokenizer.json"}
        assert rung.kept is not None
        assert 0.5 <= rung.kept <= 1.01
        assert rung.bytes < found.teacher.bytes * 1.01
    assert any("unused tokens dropped" in body for body in _steps(ladder))


def _steps(ladder: Path) -> list[str]:
    noted = [json.loads(file.read_text(encoding="utf-8")) for file in (ladder / "rungs").glob("*.json")]
    return [step for one in noted if one.get("rung") for step in one["rung"]["steps"]]
