"""Explain: why the items of a slate were recommended, in a plain sentence each."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from twofold.core.errors import needed_for
from twofold.core.ids import Codes, Id
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch, Evidence, Query
from twofold.core.scores import Floats
from twofold.core.slate import Slate
from twofold.encoders.generate import Case, Checker, Described, Sampling, Writer, draft

__all__ = ["Reason", "Reasoner"]

CITED = 2
"""Items that a reason names, at most."""
ENOUGH = 0.25
"""The share of the first cited item's contribution that the second must have."""
BECAUSE: tuple[tuple[Evidence, str], ...] = (("items", "Because you asked about"), ("history", "Because you liked"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an item was recommended."""

    item: Id
    text: str
    """One sentence."""
    cited: tuple[Id, ...] = ()
    """The items of the query that it rests on; none where a search or popularity brought the item."""
    by_model: bool = False
    """Whether a language model wrote it; else a template did."""


class Reasoner:
    """Explains the slates of a pipeline.

    The cited items are those seeds, or events of the history, that add most to the item's score, as the retrievers
    say. A language model may write the sentence; it is taken only if it names no title, no number and no category
    that is not in what the catalogue says of these items (see `Checker`), else a template of shared categories
    is. Not for the hot path: a model takes about a second an item.

    Args:
        pipeline: whose slates are explained; make another reasoner when its catalogue has changed.
        writer: a language model, such as `Reasoner.load` gets; None for templates alone.
        sampling: how it draws; see `draft`.
    """

    def __init__(self, pipeline: Pipeline, writer: Writer | None = None, sampling: Sampling | None = None) -> None:
        self.pipeline, self.writer, self.sampling = pipeline, writer, sampling
        items = pipeline.dataset.items
        categories = items["categories"].drop_nulls().explode().drop_nulls().unique(maintain_order=True)
        self._checker = Checker(items["title"], categories, items["text"])

    @classmethod
    def load(cls, pipeline: Pipeline, model: str = "smollm2", sampling: Sampling | None = None) -> "Reasoner":
        """Make a reasoner with a language model: a short name, a folder or a hub name.

        Raises:
            ConfigError: there is no such model.
            MissingExtraError: torch, transformers or the model's package is not installed.
        """
        with needed_for("a written reason", "train"):
            from twofold.encoders.generate.model import Generator  # noqa: PLC0415  torch is a training dependency
        return cls(pipeline, Generator.load(model), sampling)

    def explain(self, query: Query, slate: Slate, *, seed: int = 0) -> list[Reason]:
        """Return a reason for each pick of a slate, in their order.

        Args:
            query: what was asked.
            slate: what the pipeline answered.
            seed: of what the model draws.
        """
        dataset = self.pipeline.dataset
        reasons = [Reason(item=pick.item, text=f"{pick.reason[:1].upper()}{pick.reason[1:]}.") for pick in slate.picks]
        codes = dataset.item_ids.encode(slate.items)
        known = np.flatnonzero(codes >= 0)
        if query.text is not None or query.image is not None or not len(known):
            return reasons
        batch = self.pipeline.understand([query])
        told = self._cited(batch, codes[known])
        places = [place for place, (cited, _) in zip(known.tolist(), told, strict=True) if len(cited)]
        found = [(cited, because) for cited, because in told if len(cited)]
        cases = [
            Case(item=self._described(codes[place]), cited=[self._described(code) for code in cited], because=because)
            for place, (cited, because) in zip(places, found, strict=True)
        ]
        drafts = draft(cases, self._checker, self.writer, self.sampling, seed=seed)
        for place, (cited, _), written in zip(places, found, drafts, strict=True):
            reasons[place] = Reason(
                item=slate.items[place],
                text=written.text,
                cited=tuple(dataset.item_ids.decode(cited)),
                by_model=written.by_model,
            )
        return reasons

    def _cited(self, batch: Batch, codes: Codes) -> list[tuple[list[int], str]]:
        """Return for each item the codes that add most to its score, and how a sentence about them begins."""
        told: list[tuple[list[int], str]] = [([], "")] * len(codes)
        for evidence, because in BECAUSE:
            events, weights = batch.events(evidence), self.pipeline.recipe.evidence.of(evidence)
            for name in sorted(weights, key=lambda name: -weights[name]) if len(events.items) else ():
                open_ = [place for place, (cited, _) in enumerate(told) if not cited]
                if weights[name] <= 0 or not open_:
                    continue
                amounts = self.pipeline.retrievers[name].contributions(batch, evidence, codes)
                if amounts is None:
                    continue
                for place in open_:
                    told[place] = _best(events.items, amounts[:, place]), because
        return told

    def _described(self, code: int) -> Described:
        dataset = self.pipeline.dataset
        row = dataset.items.select("categories", pl.col("text").fill_null("")).row(int(code), named=True)
        return Described(
            title=dataset.titles(np.array([code], np.int32))[0],
            categories=tuple(name for name in row["categories"] or () if name),
            text=row["text"],
        )


def _best(items: Codes, amounts: Floats) -> list[int]:
    """Return the items that add most, each once: the first, and others that add nearly as much."""
    order = np.argsort(-amounts, kind="stable")
    limit = max(float(amounts[order[0]]) * ENOUGH, 0.0)
    kept = [int(items[place]) for place in order if amounts[place] > 0 and amounts[place] >= limit]
    return list(dict.fromkeys(kept))[:CITED]
