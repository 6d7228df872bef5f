"""Doc2Query: a language model writes the queries that items answer, and the search index takes them in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from twofold.core import Batch, Dataset, Encoder, Expander, Retriever, Stage
from twofold.core.errors import ConfigError, needed_for
from twofold.data.texts import item_texts
from twofold.encoders.generate.sampling import Lesson, Prompt, Sampling

__all__ = ["Doc2Query", "Doc2QueryConfig"]

NUMBERING = re.compile(r"^(\d{1,2}[.)]|[-*•])\s*")
TOGETHER = 256
"""Queries that the filters look at in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc2QueryConfig:
    """Options of `Doc2Query`.

    Raises:
        ConfigError: an option is out of range.
    """

    model: str = "smollm2"
    """Who writes: a short name, a folder or a hub name of a model of the GPT or T5 family."""
    instruction: str = "Write a question that this text answers."
    """What the model is told to do."""
    opening: str = "Question: what"
    """How a decoder's answer begins, which keeps a small one to the point; cut off again, up to the last colon."""
    queries: int = 4
    """Queries drawn for each item."""
    tokens: int = 16
    """Tokens of a query, at most."""
    reads: int = 64
    """Tokens of an item's text that the model reads; its title, categories and text, in this order."""
    temperature: float = 0.8
    """Below 1 the likely becomes likelier."""
    most_likely: int = 20
    """Among how many tokens each is drawn."""
    batch: int = 8
    """Items that are written about at once."""
    minutes: float = 5.0
    """How long it may write. The most liked items come first; those that are not reached have no queries."""
    train_minutes: float = 0.0
    """How long the model first learns from the dataset's own queries and their answers; 0 for not at all."""
    lr: float = 2e-4
    """The largest learning rate of that."""
    encoder: str = ""
    """The stage whose vectors tell how near a query is to its item; only the nearest are kept. Empty for no such
    filter."""
    keep: float = 0.3
    """The share of all queries that is kept as the nearest."""
    retriever: str = ""
    """The stage that must find the item by the query, or else the query is dropped. Empty for no such filter."""
    within: int = 10
    """Among how many first results it must be."""

    def __post_init__(self) -> None:
        if min(self.queries, self.tokens, self.reads, self.most_likely, self.batch, self.within) < 1:
            raise ConfigError("queries, tokens, reads, most_likely, batch and within must be at least 1; raise them.")
        if self.temperature <= 0 or self.lr <= 0 or not 0 < self.keep <= 1:
            raise ConfigError("temperature and lr must be above 0 and keep above 0 and at most 1; mend them.")
        if self.minutes <= 0 or self.train_minutes < 0:
            raise ConfigError("minutes must be above 0 and train_minutes at least 0; give the model time.")


class Doc2Query(Expander):
    """Writes queries that an item's text answers, so that words which its author did not use find it too.

    Bad queries do harm, for a small model makes things up. Two filters can hold them back: the vectors of an
    encoder, of which the nearest `keep` of all queries stay (Doc2Query--), and a retriever, which must find the
    item by the query (a round trip). Written when the stage is fitted; saved texts need no model. An item that is
    added or described anew has no queries until the next `fit`.

    Nogueira and Lin, "From doc2query to docTTTTTquery", 2019. Gospodinov et al., "Doc2Query--: When Less is More",
    ECIR 2023. Alberti et al., "Synthetic QA Corpora Generation with Roundtrip Consistency", ACL 2019.
    """

    Config: ClassVar[type] = Doc2QueryConfig
    config: Doc2QueryConfig
    needs: ClassVar[Mapping[str, type[Stage]]] = MappingProxyType(
        {"encoder": Encoder, "retriever": Retriever}  # type: ignore[type-abstract]
    )

    def fit(self, dataset: Dataset, *, rng: np.random.Generator | int | None = None) -> Self:
        """Write queries for as many items as the time allows, and return self.

        Raises:
            ConfigError: a filter does not know texts, or the model cannot be loaded.
            MissingExtraError: torch, transformers or the model's package is missing.
        """
        judge, finder = self._filters()
        seed = int(np.random.default_rng(rng).integers(2**31))
        found = self._written(dataset, seed)
        if judge is not None:
            found = found.filter(self._near(found, judge))
        if finder is not None:
            found = found.filter(self._found(found, finder))
        lines = found.group_by("code").agg(pl.col("query").str.join("\n"))
        codes = pl.DataFrame({"code": np.arange(len(dataset.items), dtype=np.int32)})
        self.expansions = codes.join(lines, on="code", how="left", maintain_order="left")["query"]
        return self

    def learns_log(self) -> bool:
        """Return False: likes only say whose turn it is first."""
        return False

    def learns_searches(self) -> bool:
        """Return whether the model is fine-tuned on people's queries."""
        return self.config.train_minutes > 0

    def save(self, folder: Path) -> None:
        """Write the queries, a line each, into an existing, empty folder."""
        pl.DataFrame({"queries": self.expansions}).write_ipc(folder / "queries.arrow", compression="uncompressed")

    def restore(self, folder: Path, dataset: Dataset) -> None:
        """Read what `save` wrote."""
        self.expansions = pl.read_ipc(folder / "queries.arrow")["queries"]

    def _filters(self) -> tuple[Encoder | None, Retriever | None]:
        judge: Encoder | None = self.linked.get("encoder")
        finder: Retriever | None = self.linked.get("retriever")
        if judge is not None and "text" not in judge.reads:
            raise ConfigError(f"the encoder {self.config.encoder!r} reads no text; name one that does.")
        if finder is not None and "text" not in finder.answers():
            raise ConfigError(f"the retriever {self.config.retriever!r} answers no text; name one that does.")
        return judge, finder

    def _written(self, dataset: Dataset, seed: int) -> pl.DataFrame:
        """Return one row a query, no query twice for an item: `code` and `query`."""
        with needed_for("writing queries", "train"):
            from twofold.encoders.generate.model import Generator  # noqa: PLC0415  torch is a training dependency
            from twofold.encoders.generate.tuning import teach  # noqa: PLC0415
            from twofold.train import Training  # noqa: PLC0415
        texts = item_texts(dataset.items)
        order = [code for code in np.argsort(-dataset.item_counts, kind="stable").tolist() if texts[code]]
        rows: list[tuple[int, str]] = []
        if order:
            generator, opening = Generator.load(self.config.model), self.config.opening
            if self.config.train_minutes:
                opening = f"{opening.rpartition(':')[0]}:"  # people's queries begin in many ways
                lessons = self._lessons(dataset, texts, opening)
                options = Training(
                    minutes=self.config.train_minutes, lr=self.config.lr, evaluate_every=50, evaluate_first=True
                )
                teach(generator, lessons, options, longest=self.config.reads, seed=seed, progress=self.progress)
            begun = "" if generator.seq2seq else opening.rpartition(":")[2].strip()
            written = generator.write_until(
                [Prompt(text=texts[code], instruction=self.config.instruction, opening=opening) for code in order],
                self._sampling(),
                longest=self.config.reads,
                seed=seed,
                seconds=60 * self.config.minutes,
            )
            for start, part in written:
                if self.progress:
                    self.progress("items written about", start + len(part), len(order))
                for code, lines in zip(order[start : start + len(part)], part, strict=True):
                    queries = dict.fromkeys(cleaned(f"{begun} {line}") for line in lines if cleaned(line))
                    rows += [(code, query) for query in queries]
        return pl.DataFrame(rows, schema={"code": pl.Int32, "query": pl.String}, orient="row")

    def _sampling(self) -> Sampling:
        options = self.config
        return Sampling(
            samples=options.queries,
            tokens=options.tokens,
            temperature=options.temperature,
            most_likely=options.most_likely,
            batch=options.batch,
        )

    def _lessons(self, dataset: Dataset, texts: Sequence[str], opening: str) -> list[Lesson]:
        """Return what people asked, and the items that answered."""
        answers = dataset.queries.filter(pl.col("grade") > 0)
        codes = dataset.item_ids.encode_series(answers["item"]).tolist()
        return [
            Lesson(prompt=Prompt(text=texts[code], instruction=self.config.instruction, opening=opening), answer=asked)
            for code, asked in zip(codes, answers["text"], strict=True)
            if texts[code]
        ]

    def _near(self, found: pl.DataFrame, judge: Encoder) -> pl.Series:
        """Say which queries are among the `keep` that are nearest to their items."""
        nearness = np.zeros(len(found), np.float32)
        for rows, codes, texts in _parts(found):
            vectors = judge.encode(texts, "text")
            nearness[rows] = np.einsum("nd,nd->n", vectors, judge.vectors[codes])
        count = int(np.ceil(self.config.keep * len(found)))
        kept = np.zeros(len(found), bool)
        kept[np.argsort(-nearness, kind="stable")[:count]] = True
        return pl.Series(kept)

    def _found(self, found: pl.DataFrame, finder: Retriever) -> pl.Series:
        """Say which queries find their own item among the first `within`."""
        kept = np.zeros(len(found), bool)
        for rows, codes, texts in _parts(found):
            best, _ = finder.score(Batch.of_texts(texts), "text").top(self.config.within)
            kept[rows] = (best == codes[:, None]).any(axis=1)
        return pl.Series(kept)


def _parts(found: pl.DataFrame) -> list[tuple[slice, npt.NDArray[np.int32], Sequence[str]]]:
    """Return the rows, items and texts of queries, some hundred at a time."""
    codes, texts = found["code"].to_numpy(), found["query"].to_list()
    spans = [slice(start, start + TOGETHER) for start in range(0, len(found), TOGETHER)]
    return [(span, codes[span], texts[span]) for span in spans]


def cleaned(line: str) -> str:
    """Return a query without numbering, marks and quotation marks around it; "" where no letter or digit is left.

    >>> cleaned('1. "what is drag?"'), cleaned("- drag of a cone"), cleaned("...")
    ('what is drag', 'drag of a cone', '')
    """
    line = NUMBERING.sub("", line.strip()).strip(" \"'“”‘’?!.:*_`-•")
    return " ".join(line.split()) if any(character.isalnum() for character in line) else ""
