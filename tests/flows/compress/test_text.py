"""What a text encoder is compressed with."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import typer

from twofold.cli import _minutes
from twofold.core import Dataset
from twofold.core.errors import DataError
from twofold.data import add_searches
from twofold.data.judgements import dataset_of
from twofold.flows.compress import TextData, text_data
from twofold.flows.compress.text import judged_among


def catalogue(count: int) -> Dataset:
    rows = {
        "item": [f"i{row}" for row in range(count)],
        "title": [f"title {row}" for row in range(count)],
        "text": [f"text of the thing {row}" for row in range(count)],
    }
    return dataset_of(pl.DataFrame(rows))


def test_half_of_the_searches_choose_and_the_others_report() -> None:
    asked = pl.DataFrame({"text": [f"find {row}" for row in range(60)], "item": [f"i{row}" for row in range(60)]})
    data = text_data(add_searches(catalogue(200), asked), documents=50)
    choose, report = data.parts["choose"], data.parts["report"]
    assert data.judged
    assert len(choose.queries) == len(report.queries) == 30
    assert not set(choose.queries) & set(report.queries)
    for part in (choose, report):
        assert len(part.documents) == 50
        for query, gains in zip(part.queries, part.gains, strict=True):
            number = query.removeprefix("find ")
            assert [part.documents[place] for place in gains] == [f"title {number}. text of the thing {number}"]
    assert not set(data.texts) & {*choose.queries, *report.queries}  # none is learned from


def test_without_searches_titles_ask_and_the_teacher_answers() -> None:
    data = text_data(catalogue(100), queries=10)
    assert not data.judged
    assert [len(data.parts[part].queries) for part in ("choose", "report")] == [10, 10]
    assert data.parts["choose"].gains == ()
    assert not set(data.parts["choose"].queries) & set(data.parts["report"].queries)


def test_documents_that_answer_are_always_there() -> None:
    texts = [f"text {row}" for row in range(100)]
    gains = {"a": {99: 1.0, 3: 2.0}, "b": {50: 1.0}}
    judged = judged_among(texts, np.arange(100), gains, 2, np.random.default_rng(0))
    assert judged.documents == ("text 3", "text 50", "text 99")
    assert judged.gains == ({2: 1.0, 0: 2.0}, {1: 1.0})


def test_the_fingerprint_knows_the_judgements() -> None:
    data = text_data(catalogue(100), queries=10)
    other = replace(data.parts["choose"], queries=("other", *data.parts["choose"].queries[1:]))
    assert data.fingerprint() == text_data(catalogue(100), queries=10).fingerprint()
    assert data.fingerprint() != replace(data, parts={**data.parts, "choose": other}).fingerprint()


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(DataError, match="at least 40 items with a title or a text, and there are 12"):
        text_data(catalogue(12))
    with pytest.raises(DataError, match="there are 1; give a catalogue"):
        TextData(texts=("one",), parts={}, judged=False)


@pytest.mark.parametrize(("text", "minutes"), [("90s", 1.5), ("15m", 15.0), ("1.5h", 90.0)])
def test_a_budget_is_read(text: str, minutes: float) -> None:
    assert _minutes(text) == pytest.approx(minutes)


@pytest.mark.parametrize("text", ["", "15", "m", "-3m", "nanm", "infh", "fast"])
def test_a_budget_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give one as 90s, 15m or 1h"):
        _minutes(text)
