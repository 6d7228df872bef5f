"""`twofold`: the command line; each verb is one call."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from twofold.core.config import build
from twofold.core.errors import DataError, TwofoldError, needed_for
from twofold.core.pipeline import Pipeline
from twofold.core.query import Query
from twofold.core.recipe import Recipe
from twofold.core.slate import Slate
from twofold.core.threads import available_threads

__all__ = ["main"]

app = typer.Typer(
    name="twofold",
    help="Search and recommendation in one call: fit a pipeline on your data, measure it, ask it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Look at data before fitting.", no_args_is_help=True)
app.add_typer(data_app, name="data")
keys_app = typer.Typer(help="API keys of a server.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

out = Console()
err = Console(stderr=True)

Source = Annotated[
    Path, typer.Argument(help="A MovieLens folder, or a CSV, TSV, Parquet or JSONL file of interactions.")
]
Items = Annotated[Path | None, typer.Option("--items", help="A file that describes the items.")]
Queries = Annotated[
    Path | None, typer.Option("--queries", help="A file of searches and the items that they led to: text, item.")
]
Column = Annotated[
    list[str] | None, typer.Option("--column", help="Which column is what, as user=buyer_id; may be repeated.")
]
RecipePath = Annotated[
    str | None, typer.Option("--recipe", help="A recipe: a TOML file, or the name of one that is shipped.")
]
ArtifactPath = Annotated[Path, typer.Option("--artifact", "-a", help="A fitted pipeline.")]
Count = Annotated[int, typer.Option("-k", help="How many results.", min=1, max=1000)]
Filters = Annotated[
    list[str] | None,
    typer.Option("--where", help="A condition, as categories=Comedy or year=1990..1999; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Reasons = Annotated[
    str | None,
    typer.Option("--reasons", help="A sentence for each item: `template`, or a model that writes it, as smollm2."),
]
SHOWN = ("ndcg@10", "hr@10", "coverage@10")
SHORT = {"fit seconds": "fit s", "ms a query": "ms"}
"""What a terminal of 80 columns has room for."""
DEFAULT_ARTIFACT = Path("runs/artifact")
CurrentLink = Annotated[Path, typer.Option("--link", help="The link that servers follow.")]
KeysFile = Annotated[Path, typer.Option("--file", help="The file of API keys.")]


@app.command()
def fit(
    source: Source,
    items: Items = None,
    column: Column = None,
    queries: Queries = None,
    recipe: RecipePath = None,
    artifact: ArtifactPath = DEFAULT_ARTIFACT,
    seed: Annotated[int, typer.Option(help="The seed of everything random.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads for linear algebra.", min=1)] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure on held-out data too, and keep the figures in the artifact.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read data, clean them, fit a pipeline and write it as an artifact."""
    from twofold.flows import evaluate as measured  # noqa: PLC0415  the verbs import what they need: --help stays quick
    from twofold.flows import fit as fit_pipeline  # noqa: PLC0415

    chosen = _recipe(recipe)
    dataset = _read(source, items, column, chosen, queries)
    shelf, older, found = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    with _progress() as progress:
        if measure:
            table = measured(dataset, chosen, rng=seed, progress=progress, shelf=shelf, older=older)
            found = {"quality": table.as_dict()}
        pipeline = fit_pipeline(dataset, chosen, rng=seed, threads=threads, progress=progress, shelf=shelf, older=older)
    written = pipeline.save(artifact, description=found)
    if as_json:
        _print_json({"artifact": str(artifact), **{key: written.manifest[key] for key in ("format", "data", "recipe")}})
    else:
        out.print(f"fitted on {len(dataset.users):,} users and {len(dataset.items):,} items; written to {artifact}")


@app.command()
def evaluate(
    source: Source,
    items: Items = None,
    column: Column = None,
    queries: Queries = None,
    recipe: RecipePath = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of everything random.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Split data, fit on the older part, and measure on the newer one beside plain baselines."""
    from twofold.flows import evaluate as measure  # noqa: PLC0415

    chosen = _recipe(recipe)
    dataset = _read(source, items, column, chosen, queries)
    with _progress() as progress:
        table = measure(dataset, chosen, rng=seed, progress=progress)
    if report:
        from twofold.evaluate import write_report  # noqa: PLC0415

        write_report(report, table, title=f"Twofold on {source.name}", cleaning=dataset.provenance)
        err.print(f"report: {report}", markup=False, highlight=False)
    if as_json:
        _print_json(table.as_dict())
    else:
        _print_table(table)


@app.command()
def recommend(
    user: Annotated[str | None, typer.Argument(help="A user id; without one, what is trending.")] = None,
    artifact: ArtifactPath = DEFAULT_ARTIFACT,
    k: Count = 10,
    where: Filters = None,
    history: Annotated[list[str] | None, typer.Option("--after", help="An item just used; may be repeated.")] = None,
    repeat: Annotated[bool, typer.Option(help="Also items that the user has seen.")] = False,
    reasons: Reasons = None,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user, known or new."""
    query = Query(user=user, history=history or (), k=k, filters=_filters(where), repeat=repeat)
    _answer(artifact, query, as_json, reasons)


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to look for, instead of a text.")] = None,
    artifact: ArtifactPath = DEFAULT_ARTIFACT,
    k: Count = 10,
    where: Filters = None,
    user: Annotated[str | None, typer.Option(help="Order the results for this user.")] = None,
    as_json: AsJson = False,
) -> None:
    """Search the catalogue, by words or by a picture."""
    if (text is None) == (image is None):
        raise typer.BadParameter("give a text or --image, one of them")
    picture = _bytes(image) if image else None
    _answer(artifact, Query(text=text, image=picture, user=user, k=k, filters=_filters(where), repeat=True), as_json)


@app.command()
def similar(
    item: Annotated[list[str], typer.Argument(help="One or more item ids.")],
    artifact: ArtifactPath = DEFAULT_ARTIFACT,
    k: Count = 10,
    where: Filters = None,
    reasons: Reasons = None,
    as_json: AsJson = False,
) -> None:
    """Find items like the given ones."""
    _answer(artifact, Query(items=item, k=k, filters=_filters(where)), as_json, reasons)


@data_app.command()
def check(
    source: Source, items: Items = None, column: Column = None, recipe: RecipePath = None, as_json: AsJson = False
) -> None:
    """Read and clean data, and say what was found, without fitting anything."""
    dataset = _read(source, items, column, _recipe(recipe))
    if as_json:
        _print_json(dataset.provenance)
        return
    grid = Grid("what", "found", title=escape(str(source)))
    for name, value in dataset.provenance.items():
        if value not in (None, "", [], {}):
            grid.add_row(name.replace("_", " "), escape(_words(value)))
    out.print(grid)


@app.command()
def compress(
    model: Annotated[
        str,
        typer.Argument(
            help="A text encoder: a folder or a short name as minilm. With --artifact, the name of an encoder, "
            "a sequential model or a cross-encoder in its recipe."
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="A catalogue whose texts the model will read.")] = None,
    items: Items = None,
    column: Column = None,
    queries: Queries = None,
    artifact: Annotated[
        Path | None, typer.Option("--artifact", "-a", help="A fitted pipeline; its catalogue and searches are used.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the ladder and the report go.")] = Path("runs/ladder"),
    quality_floor: Annotated[
        float, typer.Option(help="Share of the teacher's quality that every rung keeps.", min=0.0, max=1.0)
    ] = 0.98,
    budget: Annotated[str, typer.Option(help="Time for all, as 90s, 15m or 1h.")] = "15m",
    seed: Annotated[int, typer.Option(help="The seed of everything random.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a model small and fast: prune, distil, quantise, measure, and keep the rungs that nothing beats."""
    from twofold.flows.compress import Compress, Subject, stage_subject, text_subject, write_ladder_report  # noqa: PLC0415
    from twofold.flows.compress import compress as make_ladder  # noqa: PLC0415

    minutes = _minutes(budget)
    subject: Subject
    if data is not None and artifact is None:
        subject = text_subject(model, _read(data, items, column, _recipe(None), queries), seed=seed)
    elif artifact is not None and data is None:
        subject = stage_subject(model, artifact, seed=seed)
    else:
        raise typer.BadParameter("give --data or --artifact, one of them")
    options = Compress(floor=quality_floor, minutes=minutes, seed=seed)
    with _progress() as progress:
        outcome = make_ladder(subject, folder, options, progress=progress)
    report = folder / "report.html"
    write_ladder_report(report, outcome)
    err.print(f"report: {report}", markup=False, highlight=False)
    if as_json:
        sys.stdout.write((folder / "ladder.json").read_text(encoding="utf-8"))
    else:
        _print_ladder(outcome)


@app.command()
def ladder(
    artifact: Annotated[Path, typer.Argument(help="A fitted pipeline.")],
    ladders: Annotated[list[Path] | None, typer.Argument(help="What `compress` made of its stages.")] = None,
    data: Annotated[Path | None, typer.Option(help="Newer events, to measure by what the artifact never saw.")] = None,
    items: Items = None,
    column: Column = None,
    queries: Queries = None,
    folder: Annotated[Path | None, typer.Option(help="Where the ladder goes; by default ARTIFACT-ladder.")] = None,
    quality_floor: Annotated[
        float, typer.Option(help="Share of the artifact's quality that every step keeps.", min=0.0, max=1.0)
    ] = 0.8,
    budget: Annotated[str, typer.Option(help="Time to try settings, as 90s, 10m or 1h.")] = "10m",
    seed: Annotated[int, typer.Option(help="The seed of everything random.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure an artifact at smaller settings of its stages, and write the ladder that its server climbs under load."""
    from twofold.flows.steps import Steps, make_steps, stage_ladders, write_steps  # noqa: PLC0415

    if queries is not None and data is None:
        raise typer.BadParameter("--queries wants --data, the catalogue that they are about", param_hint="--queries")
    options = Steps(floor=quality_floor, minutes=_minutes(budget), seed=seed)
    found = stage_ladders(artifact, ladders or [])
    newer = None if data is None else _read(data, items, column, _recipe(None), queries)
    with _progress() as progress:
        made = make_steps(artifact, found, options, newer=newer, progress=progress)
    target = folder or artifact.with_name(f"{artifact.name}-ladder")
    written = write_steps(made, target)
    if as_json:
        sys.stdout.write((target / "ladder.json").read_text(encoding="utf-8"))
    else:
        _print_steps(written)
        out.print(f"ladder: {target / 'ladder.json'}", markup=False, highlight=False)


@app.command()
def adopt(
    artifact: Annotated[Path, typer.Argument(help="A fitted pipeline.")],
    stage: Annotated[str, typer.Argument(help="A sequential model, cross-encoder or image encoder in its recipe.")],
    rung: Annotated[str, typer.Argument(help="The name of a rung of its ladder.")],
    target: Annotated[Path, typer.Argument(help="Where the new artifact goes.")],
    ladder: Annotated[Path, typer.Option(help="What `compress` made of the stage.")] = Path("runs/ladder"),
) -> None:
    """Put a rung of a ladder in the place of a stage's network, in a new artifact."""
    from twofold.flows.compress import adopt_rung  # noqa: PLC0415

    adopt_rung(artifact, stage, ladder, rung, target)
    out.print(f"{stage} is {rung} in {target}", markup=False)


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="A MovieLens folder; else it is downloaded.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the artifact and the report go.")] = Path("runs/demo"),
) -> None:
    """Do everything once: get MovieLens, clean, fit, measure, recommend, search, and write a report."""
    from twofold.flows.demo import run_demo  # noqa: PLC0415

    with _progress() as progress:
        result = run_demo(data, folder, say=lambda line: out.print(escape(line)), progress=progress)
    _print_table(result.table)
    for title, slate in result.slates.items():
        _print_slate(slate, title)
    out.print(f"artifact: {result.artifact}\nreport:   {result.report}")
    out.print(f"ask more: {sys.argv[0]} search 'space adventure' -a {result.artifact}", markup=False)


@app.command()
def serve(
    artifact: Annotated[Path, typer.Argument(help="A fitted pipeline, or the link that `promote` sets.")],
    host: Annotated[str, typer.Option(help="The address to listen on; others than this machine's want --keys.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(help="Processes that answer.")] = 1,
    max_workers: Annotated[
        int | None,
        typer.Option(
            help="Processes at most, where load asks for more than --workers; 0 for as many as there are cores."
        ),
    ] = None,
    events: Annotated[Path | None, typer.Option(help="The event store; by default events.db beside ARTIFACT.")] = None,
    keys: Annotated[Path | None, typer.Option(help="The file of API keys; see `twofold keys`.")] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="Pages of this origin may call, as https://shop.example; may be repeated.")
    ] = None,
    ladder: Annotated[
        Path | None,
        typer.Option(help="The ladder to climb; by default ARTIFACT-ladder, else `ladder` beside ARTIFACT, if there."),
    ] = None,
    quality_floor: Annotated[
        float, typer.Option(help="The share of the top step's quality that answers keep under any load.")
    ] = 0.9,
    deadline_ms: Annotated[float, typer.Option(help="By when interactive questions are to be answered.")] = 100.0,
    slates_mb: Annotated[
        float, typer.Option(help="Megabytes of slates, kept while they are what would be answered anew; 0 keeps none.")
    ] = 32.0,
    log_slates: Annotated[
        bool, typer.Option("--log-slates", help="Log every slate, not only those that are part of an experiment.")
    ] = False,
) -> None:
    """Answer over HTTP, and learn from what people do at once."""
    with needed_for("the server", "serve"):
        from twofold.serve.running import run_server  # noqa: PLC0415
        from twofold.serve.settings import Settings  # noqa: PLC0415

    cores = max(available_threads(), workers)
    settings = Settings(
        artifact=artifact,
        events=events or artifact.parent / "events.db",
        host=host,
        port=port,
        workers=workers,
        most_workers=workers if max_workers is None else max_workers or cores,
        keys=keys,
        origins=tuple(origin or ()),
        ladder=ladder,
        quality_floor=quality_floor,
        interactive_ms=deadline_ms,
        slates_mb=slates_mb,
        log_slates=log_slates,
    )
    run_server(settings, lambda url: out.print(f"serving {artifact} at {url}; for programs see {url}/docs"))


@app.command()
def load(
    url: Annotated[str, typer.Argument(help="Where the server is.")] = "http://127.0.0.1:8000",
    trace: Annotated[str, typer.Option(help="When questions come: constant, ramp, burst or diurnal.")] = "constant",
    rate: Annotated[float, typer.Option(help="Questions a second, where it is quiet.")] = 20.0,
    peak: Annotated[float | None, typer.Option(help="At the height; by default three times --rate.")] = None,
    seconds: Annotated[float, typer.Option(help="How long it lasts.")] = 60.0,
    burst_seconds: Annotated[float | None, typer.Option(help="How long a burst lasts; by default half of it.")] = None,
    cv: Annotated[float, typer.Option(help="0 comes evenly, 1 by chance, 4 in clumps.")] = 1.0,
    artifact: Annotated[Path | None, typer.Option("--artifact", "-a", help="Its titles and users are asked for.")] = (
        None
    ),
    queries: Annotated[Path | None, typer.Option(help="A file with a search text a line, instead of titles.")] = None,
    zipf: Annotated[float, typer.Option(help="How much texts repeat; with 0 each comes once before any again.")] = 1.0,
    searches: Annotated[float, typer.Option(help="The share of searches; the others recommend.")] = 1.0,
    priority: Annotated[
        list[str] | None, typer.Option(help="A share, as interactive=0.8; may be repeated. Else all are interactive.")
    ] = None,
    deadline_ms: Annotated[float, typer.Option(help="By when interactive questions want an answer.")] = 100.0,
    key: Annotated[str | None, typer.Option(help="An API key.", envvar="TWOFOLD_KEY")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw what happened into this .svg or .png.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of everything random.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Ask a server as many would, whether or not it keeps up, and tell how many were answered in time, and how well."""
    with needed_for("loading a server", "serve"):
        from twofold.serve import load as loading  # noqa: PLC0415

    chosen = loading.Trace(
        shape=cast("loading.Shape", trace),
        rate=rate,
        peak=peak or 3 * rate,
        seconds=seconds,
        burst_seconds=burst_seconds or seconds / 2,
        cv=cv,
    )
    shares = {name: _share(text) for name, text in _pairs(priority, "--priority").items()} or {"interactive": 1.0}
    asking = loading.Asking(
        searches=searches,
        zipf=zipf,
        priorities=cast("Any", shares),
        deadlines={**loading.DEADLINES, "interactive": deadline_ms},
    )
    if plot:
        loading.check_format(plot)
    catalogue = loading.Catalogue.read(artifact, queries)
    report = loading.run_load(url, chosen, catalogue, asking, key=key, seed=seed)
    if plot:
        loading.write_plot(plot, report)
        err.print(f"plot: {plot}", markup=False, highlight=False)
    for warning in report.warnings():
        err.print(warning, markup=False, highlight=False)
    if as_json:
        _print_json(report.as_dict())
    else:
        _print_load(report)


@app.command()
def promote(artifact: ArtifactPath = DEFAULT_ARTIFACT, link: CurrentLink = Path("runs/current")) -> None:
    """Let servers that follow a link answer with another artifact."""
    from twofold.serve.promotion import promote as point  # noqa: PLC0415

    out.print(f"{link} leads to {point(artifact, link).folder}", markup=False)


@app.command()
def rollback(link: CurrentLink = Path("runs/current")) -> None:
    """Let servers that follow a link answer with the artifact before."""
    from twofold.serve.promotion import rollback as point_back  # noqa: PLC0415

    out.print(f"{link} leads to {point_back(link).folder}", markup=False)


@keys_app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    role: Annotated[str, typer.Option(help="read asks; event also reports events; admin may do everything.")] = "read",
    rate: Annotated[float, typer.Option(help="Requests a second.")] = 50.0,
    file: KeysFile = Path("keys.json"),
) -> None:
    """Make an API key and print it; only its hash is kept."""
    from twofold.serve.keys import add_key as make  # noqa: PLC0415

    sys.stdout.write(f"{make(file, name, role, rate)}\n")


@keys_app.command("remove")
def remove_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")], file: KeysFile = Path("keys.json")
) -> None:
    """Take an API key away; servers that run forget it within a second."""
    from twofold.serve.keys import remove_key as forget  # noqa: PLC0415

    forget(file, name)


def main() -> NoReturn:
    """Run the command line: 0 is success, 1 an error that a person can mend, 2 a wrong call, 130 an interruption."""
    try:
        app(standalone_mode=True)
    except TwofoldError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
    sys.exit(0)


def _read(
    source: Path, items: Path | None, column: list[str] | None, recipe: Recipe, queries: Path | None = None
) -> Any:
    from twofold.data import Cleaning, add_searches, read_data  # noqa: PLC0415

    cleaning = build(Cleaning, recipe.data, "data")
    dataset = read_data(source, items=items, columns=_pairs(column, "--column"), cleaning=cleaning)
    for table, roles in dataset.provenance["columns"].items():
        pairs = ", ".join(f"{role} = {name}" for role, name in roles.items())
        err.print(f"{table}: {pairs}; another column with --column role=name", markup=False, highlight=False)
    if queries:
        dataset = add_searches(dataset, queries)
        err.print(f"searches: {_words(dataset.provenance['searches'])}", markup=False, highlight=False)
    return dataset


def _recipe(name: str | None) -> Recipe:
    from twofold.flows import shipped_recipe, shipped_recipes  # noqa: PLC0415

    name = name or "default"
    return shipped_recipe(name) if name in shipped_recipes() else Recipe.read(Path(name))


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for value in values or []:
        name, sign, rest = value.partition("=")
        if not (name and sign and rest):
            raise typer.BadParameter(f"{value!r} is not of the form name=value", param_hint=option)
        pairs[name] = rest
    return pairs


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give an image file.") from None


def _filters(values: list[str] | None) -> dict[str, Any]:
    """Read conditions: name=value, name=value,value or name=low..high with either end left out."""
    filters: dict[str, Any] = {}
    for name, text in _pairs(values, "--where").items():
        low, dots, high = text.partition("..")
        if dots:
            filters[name] = {key: _number(end) for key, end in (("min", low), ("max", high)) if end}
        else:
            parts = [_number(part) for part in text.split(",")]
            filters[name] = parts if len(parts) > 1 else parts[0]
    return filters


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _answer(artifact: Path, query: Query, as_json: bool, reasons: str | None = None) -> None:
    pipeline = Pipeline.load(artifact)
    slate = pipeline.run(query)
    if reasons:
        from twofold.flows.reasons import Reasoner  # noqa: PLC0415

        reasoner = Reasoner(pipeline) if reasons == "template" else Reasoner.load(pipeline, reasons)
        told = reasoner.explain(query, slate)
        picks = (replace(pick, reason=why.text) for pick, why in zip(slate.picks, told, strict=True))
        slate = replace(slate, picks=tuple(picks))
    if as_json:
        _print_json(slate.as_dict())
    else:
        _print_slate(slate)


def _print_table(table: Any) -> None:
    """Print a table of quality; the best figure of a column is bold, and so is what cannot be told from it."""
    shown = {name: SHORT.get(name, name) for name in (*SHOWN, *SHORT) if name in table.columns()}
    grid = Grid("system", title=f"quality on {table.protocol['cases']:,} held-out cases", box=SIMPLE_HEAD)
    for name in shown.values():
        grid.add_column(name, no_wrap=True)
    for name, cells in table.cells(list(shown)).items():
        grid.add_row(escape(name), *map(_figure, cells))
    out.print(grid)
    card = (f"{name}: {_words(value)}" for name, value in table.protocol.items() if not isinstance(value, dict))
    out.print("protocol: " + "; ".join(card), style="dim", markup=False, highlight=False)


def _print_ladder(outcome: Any) -> None:
    """Print the rungs of a ladder, and then what was left out, and why."""
    from twofold.flows.compress.report import SHORT_COLUMNS, short_cells  # noqa: PLC0415

    ladder = outcome.ladder
    grid = Grid("rung", *SHORT_COLUMNS, title=f"rungs that keep {ladder.floor:.0%} of the quality", box=SIMPLE_HEAD)
    for rung in [*([ladder.teacher] if ladder.teacher else []), *ladder.rungs]:
        grid.add_row(escape(rung.name), *short_cells(rung))
    out.print(grid)
    for verdict in outcome.verdicts:
        if verdict.refused:
            out.print(f"left out: {verdict.rung.name}: {verdict.refused}", style="dim", markup=False, highlight=False)
    if outcome.untried:
        names = "; ".join(outcome.untried)
        out.print(f"no time for: {names}; the same again with a larger --budget goes on", markup=False, highlight=False)
    out.print(f"ladder: {outcome.folder / 'ladder.json'}", markup=False, highlight=False)


def _print_steps(ladder: Any) -> None:
    """Print the steps of a pipeline's ladder."""
    kinds = list(ladder.rungs[0].times)
    grid = Grid("step", "quality", "ms", *(f"ms by {kind}" for kind in kinds), box=SIMPLE_HEAD)
    for step in ladder.rungs:
        quality = f"{step.quality:.3f}\n[dim]{step.quality_low:.3f}–{step.quality_high:.3f}[/dim]"
        times = (step.milliseconds, *(step.times[kind] for kind in kinds))
        grid.add_row(escape(step.name), quality, *(f"{time:.1f}" for time in times))
    out.print(grid)
    card = (f"{name}: {_words(value)}" for name, value in ladder.protocol.items() if name != "tried")
    out.print("protocol: " + "; ".join(card), style="dim", markup=False, highlight=False)


def _print_load(report: Any) -> None:
    """Print what became of the questions of a trace, and below it which rungs answered and what asking took here."""
    groups = report.groups()
    columns = (
        "sent",
        "in\ntime",
        "re-\nfused",
        "late",
        "qua-\nlity",
        "effec-\ntive",
        "a\nsecond",
        "p50",
        "p99",
        "p99.9",
    )
    title = "shares of those sent; milliseconds from when a question was due"
    grid = Grid("", title=title, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False)
    for name in columns:
        grid.add_column(name, justify="right", no_wrap=True)
    for name, told in groups.items():
        shares = (told.in_time, told.refused, told.late, told.quality, told.effective)
        times = (_known(told.goodput, ".1f"), *(_known(value, ".0f") for value in (told.p50, told.p99, told.p999)))
        grid.add_row(name, f"{told.sent:,}", *(_known(value, ".3f") for value in shares), *times)
    out.print(grid)
    for name, told in groups.items():
        rungs = ", ".join(f"{rung} {share:.1%}" for rung, share in told.rungs.items())
        out.print(f"rungs, {name}: {rungs or 'no answer in time'}", markup=False, highlight=False)
    kept = "".join(f"{kind} that were kept: {share:.1%}; " for kind, share in report.hit_rates.items())
    out.print(f"{kept}asking took {_known(report.processor, '.3f')} ms of a core a question", highlight=False)


def _known(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number", param_hint="--priority") from None


def _minutes(text: str) -> float:
    """Read a time: 90s, 15m, 1h or 1.5h."""
    units = {"s": 1 / 60, "m": 1.0, "h": 60.0}
    try:
        minutes = float(text[:-1]) * units[text[-1:]]
    except (KeyError, ValueError):
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise typer.BadParameter(f"{text!r} is no time; give one as 90s, 15m or 1h", param_hint="--budget")
    return minutes


def _figure(cell: Any) -> str:
    value = f"[bold]{cell.text}[/bold]" if cell.mark in ("best", "level") else str(cell.text)
    return f"{value}\n[dim]{cell.interval.replace(' ', '')}[/dim]" if cell.interval else value


def _print_slate(slate: Slate, title: str | None = None) -> None:
    grid = Grid("#", "item", "title", "score", "why", title=escape(title) if title else None)
    for place, pick in enumerate(slate.picks, 1):
        grid.add_row(str(place), str(pick.item), escape(pick.title), f"{pick.score:.3f}", escape(pick.reason))
    out.print(grid)
    if slate.shortfall:
        out.print(slate.shortfall, markup=False)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ("\n" if any(isinstance(inner, dict) for inner in value) else ", ").join(map(_words, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextmanager
def _progress() -> Iterator[Any]:
    """Show a bar on the error stream; give what library code tells its progress to."""
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=False) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            phase, _, step = what.partition(": ")
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total)
            bar.update(tasks[phase], description=f"{phase} {step}".strip(), completed=done, total=total)

        yield tell
