"""Judgements: search collections, in which people said which documents answer which queries.

read_beir        corpus.jsonl, queries.jsonl, qrels/test.tsv
read_trec        documents and topics in TREC's tags, qrels in four columns
read_cranfield   Cranfield as it was first passed around: SMART's dotted fields
read_scifact     SciFact's claims and abstracts, with BEIR's qrels
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from twofold.core.dataset import Dataset
from twofold.core.errors import DataError
from twofold.core.history import Histories
from twofold.core.ids import IdMap

__all__ = ["Judgements", "dataset_of", "read_beir", "read_cranfield", "read_scifact", "read_trec"]

CRANFIELD_GAINS = {1: 4, 2: 3, 3: 2, 4: 1}
"""Cranfield's grades run backwards: 1 is a complete answer, 4 is of minimum interest."""
LITERAL = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
"""A text as Python prints it, in single or double quotes."""
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgements:
    """A search collection.

    Raises:
        ValueError: a judgement is of a query that is not there.
    """

    documents: pl.DataFrame
    """Columns `item` (String, distinct), `title` and `text` (String, may be null)."""
    queries: dict[str, str]
    """The text of each query that has judgements."""
    qrels: dict[str, dict[str, int]]
    """For each query, the gain of each judged document: 0 for irrelevant, more for better."""

    def __post_init__(self) -> None:
        if lost := self.qrels.keys() - self.queries.keys():
            raise ValueError(f"there are judgements of the query {min(lost)!r}, which has no text")


def read_beir(folder: Path, split: str = "test") -> Judgements:
    """Read a collection in BEIR's layout.

    Args:
        folder: holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and
            `qrels/SPLIT.tsv` (query, document and gain, below a line of names).
        split: which judgements; only queries that they judge are kept.

    Raises:
        DataError: a file is missing or malformed.
    """
    rows = [(str(row["_id"]), row.get("title"), row.get("text")) for row in _jsonl(folder / "corpus.jsonl", "_id")]
    queries = {str(row["_id"]): str(row.get("text", "")) for row in _jsonl(folder / "queries.jsonl", "_id")}
    return _judgements(rows, queries, _beir_qrels(folder / "qrels" / f"{split}.tsv"), folder)


def read_trec(documents: Path, queries: Path, qrels: Path) -> Judgements:
    """Read a collection in TREC's layout.

    Args:
        documents: `<doc>` with `<docno>`, `<title>` and `<text>`; need not be well-formed XML.
        queries: `<top>` with `<num>` and `<title>`. Where the numbers of the judgements are not among these
            but 1, 2, 3, …, they count the topics by order, as Cranfield's do.
        qrels: query, anything, document and gain, between spaces; a gain below 0 counts as 0.

    Raises:
        DataError: a file is missing or malformed.
    """
    rows = [
        (_required(document, "docno", documents), _tag(document, "title"), _tag(document, "text"))
        for document in _blocks(_read(documents), "doc")
    ]
    numbered = []
    for topic in _blocks(_read(queries), "top"):
        number = re.sub(r"^Number:\s*", "", _required(topic, "num", queries))
        numbered.append((number, _required(topic, "title", queries)))
    judged = _columns(qrels, 4)
    by_query: dict[str, dict[str, int]] = {}
    for line, (query, _, document, gain) in judged:
        by_query.setdefault(query, {})[document] = max(_whole(gain, qrels, line), 0)
    texts = dict(numbered)
    if not by_query.keys() <= texts.keys():
        texts = {str(place): text for place, (_, text) in enumerate(numbered, 1)}
    return _judgements(rows, texts, by_query, qrels)


def read_cranfield(folder: Path, *, doubtful: int = 0) -> Judgements:
    """Read Cranfield from `cran.all.1400`, `cran.qry` and `cranqrel`.

    The judgements number the queries 1 to 225 by their order, not by their `.I`. Their grades run
    backwards, 1 for a complete answer; they become gains so: 1 to 4, 2 to 3, 3 to 2, 4 to 1, -1 to
    `doubtful`. The text of a document begins with its title again, which is cut off.

    Args:
        folder: holds the three files.
        doubtful: the gain for the grade -1, which every query gives to one document. It is read as "of no
            interest", hence 0; but BM25 ranks that document second in the median, above those of grade 1,
            and other editions of the judgements give it the highest gain, 5.

    Raises:
        DataError: a file is missing or malformed.
    """
    rows = []
    for number, fields in _smart(folder / "cran.all.1400"):
        title, text = fields.get("T", ""), fields.get("W", "")
        rows.append((number, title, text.removeprefix(title).strip()))
    queries = {str(place): fields.get("W", "") for place, (_, fields) in enumerate(_smart(folder / "cran.qry"), 1)}
    qrels: dict[str, dict[str, int]] = {}
    path = folder / "cranqrel"
    for line, (query, document, grade) in _columns(path, 3):
        gain = {**CRANFIELD_GAINS, -1: doubtful}.get(_whole(grade, path, line))
        if gain is None:
            raise DataError(f"{path}, line {line}, has the grade {grade}; it is 1 to 4 or -1.")
        qrels.setdefault(query, {})[document] = gain
    return _judgements(rows, queries, qrels, folder)


def read_scifact(folder: Path, split: str = "test") -> Judgements:
    """Read SciFact from `scifact.zip` (the tables of abstracts and claims) and `beir_qrels/SPLIT.tsv`.

    Raises:
        DataError: a file is missing or malformed.
    """
    path = folder / "scifact.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            corpus = _csv(archive, "corpus_train.csv")
            claims = _csv(archive, "claims_train.csv") + _csv(archive, "claims_validation.csv")
    except FileNotFoundError:
        raise DataError(f"there is no file {path}; give the folder that holds it.") from None
    except (OSError, KeyError, UnicodeDecodeError, csv.Error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}); get it again.") from None
    try:
        rows = [(row["doc_id"], row["title"], " ".join(printed_texts(row["abstract"]))) for row in corpus]
        queries = {row["id"]: row["claim"] for row in claims}
    except KeyError as error:
        raise DataError(f"a table in {path} has no column {error}; get it again.") from None
    return _judgements(rows, queries, _beir_qrels(folder / "beir_qrels" / f"{split}.tsv"), folder)


def dataset_of(documents: pl.DataFrame, judged: Judgements | None = None) -> Dataset:
    """Make a dataset without users or events, so that documents can be indexed like items.

    Args:
        documents: columns `item`, `title`, `text`, as in `Judgements`.
        judged: what a model may learn from: its queries and judgements become `Dataset.queries`; those of
            documents that are not there are left out.
    """
    categories = pl.Series("categories", [[]] * len(documents), dtype=pl.List(pl.String))
    dataset = Dataset(
        item_ids=IdMap(documents["item"]),
        user_ids=IdMap(pl.Series("user", [], dtype=pl.String)),
        items=documents.select("item", "title", "text").with_columns(categories),
        users=pl.DataFrame({"user": []}, schema={"user": pl.String}),
        log=Histories.empty(0),
        provenance={"source": "documents"},
    )
    if judged is None:
        return dataset
    answers = [
        (judged.queries[query], item, float(max(gain, 0)))
        for query, gains in judged.qrels.items()
        for item, gain in gains.items()
        if item in dataset.item_ids
    ]
    schema = {"text": pl.String, "item": pl.String, "grade": pl.Float32}
    return dataset.with_queries(pl.DataFrame(answers, schema=schema, orient="row"))


def printed_texts(printed: str) -> list[str]:
    """Return the texts of a list as Python or numpy prints it; nothing is executed.

    >>> printed_texts("['It rose.' 'It fell.']")
    ['It rose.', 'It fell.']
    """
    return [ESCAPE.sub(_unescape, single or double) for single, double in LITERAL.findall(printed)]


def _unescape(match: re.Match[str]) -> str:
    code: str = match[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else PLAIN_ESCAPES.get(code, code)


def _judgements(
    rows: Iterable[tuple[str, Any, Any]], queries: dict[str, str], qrels: dict[str, dict[str, int]], path: Path
) -> Judgements:
    documents = pl.DataFrame(
        list(rows), schema={"item": pl.String, "title": pl.String, "text": pl.String}, orient="row"
    )
    if not len(documents):
        raise DataError(f"there is no document in the collection at {path}; check the files.")
    if documents["item"].n_unique() < len(documents):
        twice = documents.filter(pl.col("item").is_duplicated())["item"][0]
        raise DataError(f"two documents of the collection at {path} are called {twice!r}; keep one.")
    if lost := qrels.keys() - queries.keys():
        raise DataError(f"the judgements at {path} name the query {min(lost)!r}, which has no text; add it.")
    return Judgements(
        documents=documents, queries={name: queries[name] for name in queries if name in qrels}, qrels=qrels
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise DataError(f"there is no file {path}; give the place of the collection.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check it.") from None


def _jsonl(path: Path, key: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or key not in row:
            raise DataError(f"{path}, line {number}, is no JSON object with {key!r}; mend that line.")
        yield row


def _csv(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read(name).decode(), newline="")))


def _columns(path: Path, count: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the columns of each line that is not blank."""
    for number, line in enumerate(_read(path).splitlines(), 1):
        columns = line.split()
        if not columns:
            continue
        if len(columns) != count:
            raise DataError(f"{path}, line {number}, has {len(columns)} columns instead of {count}; mend that line.")
        yield number, columns


def _whole(text: str, path: Path, line: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{path}, line {line}, has {text!r} where a whole number belongs; mend it.") from None


def _beir_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for line, (query, document, gain) in _columns(path, 3):
        if line > 1:  # the first names the columns
            qrels.setdefault(query, {})[document] = max(_whole(gain, path, line), 0)
    return qrels


def _blocks(text: str, name: str) -> list[str]:
    return re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL | re.IGNORECASE)


def _tag(block: str, name: str) -> str | None:
    found = re.search(rf"<{name}>(.*?)(?:</{name}>|(?=<\w+>)|$)", block, re.DOTALL | re.IGNORECASE)
    return found[1].strip() if found else None


def _required(block: str, name: str, path: Path) -> str:
    found = _tag(block, name)
    if found is None:
        raise DataError(f"{path} has an entry without <{name}>; add it.")
    return found


def _smart(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the number and the fields, by their letter, of each entry of a file in SMART's layout."""
    for entry in re.split(r"^\.I\s+", _read(path), flags=re.MULTILINE)[1:]:
        number, *rest = re.split(r"^\.([A-Z])\s*$", entry, flags=re.MULTILINE)
        letters, texts = rest[::2], rest[1::2]
        yield number.strip(), {letter: text.strip() for letter, text in zip(letters, texts, strict=True)}
