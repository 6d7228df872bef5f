"""The inverted index on disk: what tantivy holds for a catalogue, and the few questions put to it.

Fields: `all` (title, text, categories, the texts of all attributes, and what an expander wrote), `title`,
`categories` and `attributes` again, so that a match there can count more; `words` (all of it unstemmed: which
words there are); `starts` (beginnings of the words of titles, for suggestions); `code` and `likes`.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import tantivy
from tantivy import Occur, Query

from twofold.core import Dataset
from twofold.core.ids import Codes
from twofold.core.scores import Floats
from twofold.retrieval.analysis import Analyzer, is_chinese

__all__ = ["FIELDS", "START", "Index", "attribute_columns"]

FIELDS = ("all", "title", "categories", "attributes")
"""The fields that are searched."""
START = 10
"""Characters of the longest beginning of a word that `starts` holds."""
HEAP = 64_000_000
"""Bytes that the one writing thread may hold before it writes a segment."""
LOCKS = "*.lock"


class Index:
    """A tantivy index in a folder, opened for reading.

    Args:
        folder: what `build` or `save` wrote. It may be read-only: locks go into a temporary folder
            of links, so any number of processes can open it at once.
    """

    def __init__(self, folder: Path, analyzer: Analyzer) -> None:
        self.folder = folder
        links = Path(tempfile.mkdtemp(prefix="twofold-"))
        weakref.finalize(self, shutil.rmtree, links, ignore_errors=True)
        for file in folder.iterdir():
            if not file.match(LOCKS):
                (links / file.name).symlink_to(file.resolve())
        index = tantivy.Index.open(str(links))
        _register(index, analyzer)
        index.config_reader(reload_policy="manual")
        self._schema = index.schema
        self._searcher = index.searcher()

    @classmethod
    def build(cls, dataset: Dataset, analyzer: Analyzer, expansions: pl.Series | None = None) -> "Index":
        """Index a catalogue in a temporary folder, which goes when the index is no longer used.

        Args:
            dataset: whose items are indexed.
            analyzer: how texts are cut into terms.
            expansions: more to search for each item, String [n]; in `all` and `words` only.
        """
        folder = tempfile.mkdtemp(prefix="twofold-index-")
        index = tantivy.Index(_schema(), path=folder)
        _register(index, analyzer)
        writer = index.writer(HEAP, num_threads=1)
        for document in _documents(dataset, analyzer, expansions):
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        opened = cls(Path(folder), analyzer)
        weakref.finalize(opened, shutil.rmtree, folder, ignore_errors=True)
        return opened

    def put(self, dataset: Dataset, analyzer: Analyzer, codes: Codes, expansions: pl.Series | None = None) -> "Index":
        """Return an index in which some items are described anew or added; this one stays as it is.

        The files of an index never change, so the two share all that is old: a change costs the time of the items
        that changed, and, now and then, that of merging files.

        Args:
            dataset: the catalogue as it is now.
            analyzer: as for `build`.
            codes: which items changed, int32 [c].
            expansions: as for `build`.
        """
        folder = Path(tempfile.mkdtemp(prefix="twofold-index-"))
        for file in self.folder.iterdir():
            if file.match(LOCKS):
                continue
            if file.suffix == ".json":  # written anew by each commit
                shutil.copyfile(file, folder / file.name)
            else:
                _link(file, folder / file.name)
        index = tantivy.Index.open(str(folder))
        _register(index, analyzer)
        writer = index.writer(HEAP, num_threads=1)
        for code in codes.tolist():
            writer.delete_documents_by_term("code", code)
        for document in _documents(dataset, analyzer, expansions, codes):
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        opened = Index(folder, analyzer)
        weakref.finalize(opened, shutil.rmtree, folder, ignore_errors=True)
        return opened

    def save(self, folder: Path) -> None:
        """Copy the files of the index into a new folder."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(LOCKS))

    def __len__(self) -> int:
        return self._searcher.num_docs

    def count(self, term: str, field: str = "all") -> int:
        """Return how many items have a term in a field."""
        return self._searcher.doc_freq(field, term)

    def idf(self, count: int) -> float:
        """Return BM25's weight of a term that `count` items have, `ln(1 + (n - count + .5) / (count + .5))`."""
        return float(np.log1p(max(len(self) - count, 0) / (count + 0.5) + 0.5 / (count + 0.5)))

    def words(self, prefix: str = "", limit: int | None = None) -> list[tuple[str, int]]:
        """Return the unstemmed words with a prefix, in alphabetical order, and how many items have each."""
        return self._searcher.terms_with_prefix("words", prefix, limit=limit)

    def term(self, term: str, field: str, weight: float = 1.0) -> Query:
        """Return the query for a term in a field."""
        option = "basic" if field in ("words", "starts") else "freq"
        query = Query.term_query(self._schema, field, term, option)
        return query if weight == 1.0 else Query.boost_query(query, weight)

    def among(self, query: Query, codes: npt.NDArray[np.integer]) -> Query:
        """Return a query for those of a query's items that have one of the codes; scores stay."""
        chosen = Query.const_score_query(Query.term_set_query(self._schema, "code", codes.tolist()), 0.0)
        return every([query, chosen])

    def search(self, query: Query, limit: int) -> tuple[Codes, Floats]:
        """Return the codes and scores of the best items: falling scores, then rising codes."""
        found = self._searcher.search(query, max(limit, 1), count=False).hits
        codes = self._codes(found)
        scores = np.array([score for score, _ in found], np.float32)
        order = np.lexsort((codes, -scores))
        return codes[order], scores[order]

    def most_liked(self, query: Query, limit: int) -> Codes:
        """Return the codes of the most liked items that match."""
        return self._codes(self._searcher.search(query, limit, count=False, order_by_field="likes").hits)

    def matching(self, query: Query) -> Codes:
        """Return the codes of all items that match, in any order."""
        return self._codes(self._searcher.search(query, max(len(self), 1), count=False).hits)

    def _codes(self, hits: Sequence[tuple[Any, tantivy.DocAddress]]) -> Codes:
        return np.array(self._searcher.fast_field_values("code", [address for _, address in hits]), np.int32)


def some(queries: Sequence[Query]) -> Query:
    """Return a query that wants at least one of several; their scores add up."""
    return Query.boolean_query([(Occur.Should, query) for query in queries])


def every(queries: Sequence[Query]) -> Query:
    """Return a query that wants all of several; their scores add up."""
    return Query.boolean_query([(Occur.Must, query) for query in queries])


def attribute_columns(items: pl.DataFrame) -> list[str]:
    """Return the columns with texts or lists of texts beyond those that every catalogue has."""
    known = {"item", "title", "text", "categories"}
    types = (pl.String, pl.Categorical, pl.Enum, pl.List(pl.String))
    return [name for name, dtype in items.schema.items() if name not in known and dtype in types]


def start_tokens(text: str, analyzer: Analyzer) -> Iterator[str]:
    """Return the beginnings of the words of a title; a Chinese run begins anew at each character."""
    for word in analyzer.words.analyze(analyzer.folded(text)):
        places = range(len(word)) if is_chinese(word) else (0,)
        for place in places:
            yield from (word[place : place + length] for length in range(1, min(len(word) - place, START) + 1))


def _register(index: tantivy.Index, analyzer: Analyzer) -> None:
    index.register_tokenizer("terms", analyzer.terms)
    index.register_tokenizer("words", analyzer.words)
    blank = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
    index.register_tokenizer("blank", blank)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("code", indexed=True, fast=True)
    builder.add_integer_field("likes", fast=True)
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name="terms", index_option="freq")
    builder.add_text_field("words", tokenizer_name="words", index_option="basic")
    builder.add_text_field("starts", tokenizer_name="blank", index_option="basic")
    return builder.build()


def _link(file: Path, place: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    try:
        os.link(file.resolve(), place)
    except OSError:
        shutil.copyfile(file, place)


def _documents(
    dataset: Dataset, analyzer: Analyzer, expansions: pl.Series | None, codes: Codes | None = None
) -> Iterator[tantivy.Document]:
    """Return what the index holds of items: of all, or of those with the given codes."""
    rows = np.arange(len(dataset.items)) if codes is None else codes.astype(np.int64)
    items, likes = dataset.items[rows], dataset.item_counts
    expansions = None if expansions is None else expansions.gather(rows)
    attributes = attribute_columns(items)
    columns = [items[name].to_list() for name in ("title", "text", "categories", *attributes)]
    more = [None] * len(items) if expansions is None else expansions.to_list()
    for code, written, title, text, categories, *others in zip(rows.tolist(), more, *columns, strict=True):
        titled = analyzer.document(title or "")
        grouped = analyzer.document(_joined(categories))
        attributed = analyzer.document("\n".join(map(_joined, others)))
        everything = "\n".join(
            (titled, analyzer.document(text or ""), grouped, attributed, analyzer.document(written or ""))
        )
        yield tantivy.Document(
            code=code,
            likes=int(likes[code]),
            all=everything,
            title=titled,
            categories=grouped,
            attributes=attributed,
            words=everything,
            starts=" ".join(dict.fromkeys(start_tokens(title or "", analyzer))),
        )


def _joined(value: str | Sequence[str | None] | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return "\n".join(part for part in value if part)
