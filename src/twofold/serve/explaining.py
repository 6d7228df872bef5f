"""Why an item is in a slate, or is not: what each retriever says of it, and because of what."""

import math

import numpy as np

from twofold.core.ids import Id
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch, Evidence, Query
from twofold.core.recipe import EVIDENCE
from twofold.serve.problems import Refusal
from twofold.serve.wire import Explanation, Voice

__all__ = ["explain"]

MOST = 5
"""Events that are named for each retriever."""


def explain(pipeline: Pipeline, query: Query, item: Id) -> Explanation:
    """Ask each retriever what it thinks of one item, for each kind of evidence that a query brings.

    Raises:
        Refusal: there is no such item.
    """
    dataset = pipeline.dataset
    code = dataset.item_ids.find(item)
    if code < 0:
        raise Refusal(404, "there is no such item; add it with PUT.")
    batch = pipeline.understand([query])
    scores: dict[str, float] = {}
    because: list[Voice] = []
    for evidence in EVIDENCE:
        if batch.has(evidence)[0]:
            for name, opinion in pipeline.opinions(batch, evidence)[0].items():
                said = float(opinion.at(np.array([[code]], np.int32))[0, 0])
                if math.isfinite(said):
                    scores[name] = said
                because += _voices(pipeline, batch, evidence, name, code)
    return Explanation(
        item=dataset.item_ids.decode([code])[0],
        title=dataset.titles(np.array([code], np.int32))[0],
        available=pipeline.available is None or bool(pipeline.available[code]),
        scores=scores,
        because=because,
        snippet=_snippet(pipeline, query.text, code),
    )


def _voices(pipeline: Pipeline, batch: Batch, evidence: Evidence, name: str, code: int) -> list[Voice]:
    """Return the events that add most to what a retriever says of an item, or take most away."""
    events = batch.events(evidence)
    if not len(events.items):
        return []
    retriever = pipeline.retrievers[name.partition(".")[2]]
    amounts = retriever.contributions(batch, evidence, np.array([code], np.int32))
    if amounts is None:
        return []
    loudest = np.argsort(-np.abs(amounts[:, 0]), kind="stable")[:MOST]
    loudest = loudest[amounts[loudest, 0] != 0]
    heard = events.items[loudest]
    rows = zip(pipeline.dataset.item_ids.decode(heard), pipeline.dataset.titles(heard), loudest.tolist(), strict=True)
    return [
        Voice(retriever=name, item=item, title=title, amount=float(amounts[place, 0])) for item, title, place in rows
    ]


def _snippet(pipeline: Pipeline, text: str | None, code: int) -> str | None:
    if text is None:
        return None
    names = pipeline.recipe.evidence.text
    return next(
        (found for name in names if (found := pipeline.retrievers[name].snippets(text, [code]).get(code))), None
    )
