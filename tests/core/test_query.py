import numpy as np
import pytest

from twofold.core import Batch, Histories, Query
from twofold.core.errors import QueryError


@pytest.mark.parametrize("k", [0, -1, 1_001])
def test_k_out_of_bounds_is_refused(k: int) -> None:
    with pytest.raises(QueryError, match=f"k is {k}"):
        Query(k=k)


def test_a_text_may_have_ten_thousand_characters_and_no_more() -> None:
    assert len(Query(text="x" * 10_000).text or "") == 10_000
    with pytest.raises(QueryError, match=r"10,001 characters"):
        Query(text="x" * 10_001)


@pytest.fixture
def batch() -> Batch:
    """Four queries: a text, seeds, a history, and a history of dislikes alone."""
    histories = Histories.from_events(
        np.array([2, 2, 3]), np.array([4, 5, 6]), np.array([1.0, -1.0, -1.0]), np.array([1, 2, 3]), size=4
    )
    return Batch(
        histories=histories,
        seeds=Histories.from_lists([[], [7, 8], [], []]),
        texts=["", None, None, None],
        allowed=np.arange(4)[:, None] < np.arange(9),
    )


def test_what_a_batch_brings(batch: Batch) -> None:
    assert batch.has("text").tolist() == [True, False, False, False]
    assert batch.has("items").tolist() == [False, True, False, False]
    assert batch.has("history").tolist() == [False, False, True, False], "dislikes alone are no taste"
    assert batch.has("nothing").tolist() == [True] * 4


def test_events_of_each_evidence(batch: Batch) -> None:
    assert batch.events("items").items.tolist() == [7, 8]
    assert batch.events("history").items.tolist() == [4, 5, 6]
    assert batch.events("nothing").lengths.tolist() == [0] * 4


def test_take_keeps_everything_aligned(batch: Batch) -> None:
    part = batch.take([2, 0, 1])
    assert part.histories.lengths.tolist() == [2, 0, 0]
    assert part.seeds.lengths.tolist() == [0, 0, 2]
    assert list(part.texts) == [None, "", None]
    assert part.allowed is not None
    assert part.allowed.sum(axis=1).tolist() == [6, 8, 7]


def test_batches_of_one_kind() -> None:
    histories = Histories.from_lists([[1], []])
    assert Batch.of_histories(histories).has("history").tolist() == [True, False]
    assert Batch.of_texts(["a", "b"]).has("text").tolist() == [True, True]
    assert Batch.of_texts(["a", "b"]).take([1]).allowed is None
