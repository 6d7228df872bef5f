import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from twofold.cli import main
from twofold.core import Artifact, Pipeline
from twofold.data import Simulation, simulate
from twofold.flows import default_recipe, fit

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; return the exit code and what was printed on both streams."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["twofold", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of clicks by 60 people."""
    dataset, _ = simulate(Simulation(users=60, items=80, events=1_500, seed=7))
    path = tmp_path_factory.mktemp("log") / "clicks.csv"
    dataset.interactions.select("user", "item", "timestamp").write_csv(path)
    return path


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted default recipe on a simulated catalogue."""
    dataset, _ = simulate(Simulation(users=60, items=80, events=1_500, seed=7))
    path = tmp_path_factory.mktemp("fitted") / "artifact"
    fit(dataset, default_recipe()).save(path)
    return path


def test_a_newcomer_goes_from_a_log_to_recommendations(run: Run, log: Path, tmp_path: Path) -> None:
    assert run("data", "check", log)[0] == 0
    code, out, _ = run("fit", log, "--artifact", tmp_path / "artifact")
    assert code == 0
    assert "written to" in " ".join(out.split())
    user = Pipeline.load(tmp_path / "artifact").dataset.user_ids.ids[0]
    code, out, _ = run("recommend", str(user), "-a", tmp_path / "artifact", "-k", "4")
    assert code == 0
    assert "why" in out


def test_fit_keeps_what_it_measured(run: Run, log: Path, tmp_path: Path) -> None:
    assert run("fit", log, "--artifact", tmp_path / "artifact", "--measure")[0] == 0
    quality = Artifact.open(tmp_path / "artifact").manifest["quality"]
    assert quality["protocol"]["split"] == "global-time"
    assert {"default (fused)", "ease", "popular, last week"} <= {row["system"] for row in quality["rows"]}


def test_evaluate_prints_a_table_and_writes_a_report(run: Run, log: Path, tmp_path: Path) -> None:
    code, out, _ = run("evaluate", log, "--report", tmp_path / "report.html", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["protocol"]["split"] == "global-time"
    assert {"system", "metric", "value", "low", "high"} <= set(result["rows"][0])
    assert (tmp_path / "report.html").stat().st_size > 1_000


def test_json_is_for_programs(run: Run, artifact: Path) -> None:
    code, out, err = run("recommend", "nobody", "-a", artifact, "-k", "3", "--json")
    slate = json.loads(out)
    assert code == 0
    assert err == ""
    assert len(slate["picks"]) == 3
    assert slate["shortfall"] is None


def test_search_similar_and_filters(run: Run, artifact: Path) -> None:
    items = Pipeline.load(artifact).dataset.items
    item, title, category = items["item"][3], items["title"][3], items["categories"][3][0]
    found = json.loads(run("search", title, "-a", artifact, "--json")[1])
    assert found["picks"][0]["item"] == item
    near = json.loads(run("similar", item, "-a", artifact, "--json", "--where", f"categories={category}")[1])
    allowed = set(items.filter(items["categories"].list.contains(category))["item"])
    assert near["picks"]
    assert {pick["item"] for pick in near["picks"]} <= allowed - {item}
    years = json.loads(run("recommend", "-a", artifact, "--json", "--where", "year=1990..2005")[1])
    shown = items.filter(items["item"].is_in([pick["item"] for pick in years["picks"]]))
    assert shown["year"].is_between(1990, 2005).all()


@pytest.mark.parametrize("text", ["", "   ", "?!…", "🎬", "星球大战电影", 'title:"x" AND (', "a" * 10_000])
def test_any_text_can_be_searched(run: Run, artifact: Path, text: str) -> None:
    code, out, err = run("search", text, "-a", artifact, "--json")
    assert code == 0, err
    slate = json.loads(out)
    assert slate["picks"] or slate["shortfall"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recommend", "1", "-a", "no-such-folder"), "there is no artifact at no-such-folder"),
        (("fit", "no-such-file.csv"), "no-such-file.csv"),
        (("fit", "no-such-folder/"), "no-such-folder"),
        (("search", "x" * 10_001, "-a", "ARTIFACT"), "give at most 10,000"),
        (("recommend", "-a", "ARTIFACT", "--where", "colour=red"), "colour"),
        (("fit", "LOG", "--recipe", "no-such.toml"), "no-such.toml"),
        (("load", "http://127.0.0.1:9", "-a", "ARTIFACT"), "check that the server runs there"),
        (("load", "-a", "ARTIFACT", "--trace", "wave"), "there is no trace 'wave'"),
        (("load", "-a", "ARTIFACT", "--plot", "load.gif"), "neither .svg nor .png"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Run, artifact: Path, log: Path, arguments: tuple[str, ...], message: str
) -> None:
    names = {"ARTIFACT": str(artifact), "LOG": str(log)}
    code, out, err = run(*(names.get(argument, argument) for argument in arguments))
    assert code == 1
    assert out == ""
    assert err.startswith("error: ")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_reasons_are_sentences_about_what_was_liked(run: Run, artifact: Path) -> None:
    slate = json.loads(run("recommend", "--after", "item-00003", "--reasons", "template", "--json", "-a", artifact)[1])
    titles = [pick["reason"] for pick in slate["picks"]]
    assert titles
    assert all(reason.endswith(".") for reason in titles)


def test_a_picture_that_is_none_is_said(run: Run, artifact: Path) -> None:
    code, _, err = run("search", "--image", "no-such.jpg", "-a", artifact)
    assert (code, err.startswith("error: no-such.jpg")) == (1, True)
    assert run("search", "-a", artifact)[0] == 2


def test_a_wrong_call_is_told_apart(run: Run, artifact: Path) -> None:
    assert run("recommend", "-k", "many")[0] == 2
    assert run("no-such-verb")[0] == 2
    assert run("recommend", "-a", artifact, "--where", "nonsense")[0] == 2


def test_help_is_quick_and_names_every_verb() -> None:
    program = "import sys; import twofold.cli; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert not {"scipy", "implicit", "tantivy", "matplotlib", "jieba", "torch"} & set(
        json.loads(loaded.replace("'", '"'))
    )


def test_the_help_of_every_verb(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for verb in ("fit", "evaluate", "recommend", "search", "similar", "data", "demo", "load"):
        assert verb in out
        assert run(verb, "--help")[0] == 0
