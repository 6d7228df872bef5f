"""What the prose says holds: links lead somewhere, Python runs, commands parse."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest
import typer

from twofold.cli import app
from twofold.data import Simulation, simulate

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
RUN = [
    "README.md",
    "docs/tutorial.md",
    "docs/guide/data.md",
    "docs/guide/artifacts.md",
    "docs/guide/search.md",
    "docs/guide/evaluation.md",
]
"""Pages whose Python is run; their files `path/to/…` are made up."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(twofold [^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(page: Path) -> list[str]:
    lines = [line.removeprefix("$ ") for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if line.startswith("twofold ")]


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\s-]", "", heading.strip().lower())
    return re.sub(r"\s", "-", kept)


def parse(command: str) -> None:
    """Parse a command line as `twofold` does, without running it; raises what the parser raises."""
    name, *arguments = shlex.split(command.partition(" #")[0])
    found = typer.main.get_command(app)
    while hasattr(found, "commands"):
        name, *arguments = arguments
        found = found.commands[name]
    found.make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page):
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    for link in LINK.findall(text):
        path, _, heading = link.partition("#")
        if ":" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {anchor(found) for found in headings}, f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page):
    for command in commands(page):
        parse(command)


def test_commands_are_found_in_the_docs():
    found = [command for page in PAGES for command in commands(page)]
    assert len(found) > 20
    assert "twofold fit path/to/ml-latest-small --artifact runs/movies" in found


def test_a_wrong_command_does_not_parse():
    with pytest.raises(Exception, match="No such option"):
        parse("twofold search robot --colour red")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_verbs_and_options_within_sentences_exist(page):
    known = typer.main.get_command(app)
    for command in INLINE.findall(page.read_text(encoding="utf-8")):
        found, words = known, command.split()[1:]
        while words and hasattr(found, "commands") and words[0].isalpha():
            found = found.commands[words.pop(0)]
        options = {name for parameter in getattr(found, "params", ()) for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-")} <= options, f"{page.name}: {command}"


def test_every_verb_has_its_part_of_the_reference():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^## (.+)$", text, re.MULTILINE))
    for name in typer.main.get_command(app).commands:
        assert f"`twofold {name}" in headings, f"cli.md says nothing of {name}"


@pytest.mark.parametrize("name", RUN)
def test_python_in_the_docs_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names: dict[str, object] = {"__name__": name}
    for number, code in enumerate(blocks(ROOT / name, "python"), 1):
        exec(compile(code, f"{name}, block {number}", "exec"), names)


def test_both_readmes_show_the_same_code():
    english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"
    assert [re.sub(r" *#.*", "", code) for code in blocks(english, "python")] == [
        re.sub(r" *#.*", "", code) for code in blocks(chinese, "python")
    ]
    assert commands(english) == commands(chinese)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with small files where the docs say `path/to/…`."""
    dataset, _ = simulate(Simulation(users=60, items=80, events=900))
    movies = tmp_path / "path" / "to" / "ml-latest-small"
    movies.mkdir(parents=True)
    log = dataset.interactions
    numbered = {name: log[name].str.slice(5).cast(pl.Int64) + 1 for name in ("user", "item")}
    ratings = pl.DataFrame(
        {
            "userId": numbered["user"],
            "movieId": numbered["item"],
            "rating": 3 + 2 * log["value"],
            "timestamp": log["timestamp"] // 1000,
        }
    )
    ratings.write_csv(movies / "ratings.csv")
    titles = dataset.items.select(
        movieId=pl.int_range(1, pl.len() + 1),
        title=pl.format("{} ({})", "title", "year"),
        genres=pl.col("categories").list.join("|"),
    )
    titles.write_csv(movies / "movies.csv")
    log.write_csv(tmp_path / "path" / "to" / "clicks.csv")
    products = dataset.items.with_columns(pl.col("categories").list.join("|"))
    products.write_csv(tmp_path / "path" / "to" / "products.csv")
    return tmp_path
