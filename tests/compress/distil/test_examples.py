import numpy as np
import polars as pl
import pytest

from twofold.compress.distil import Arrays, Reader, Texts, Triples, texts_of
from twofold.core import Dataset, Histories, IdMap
from twofold.core.errors import ConfigError, DataError

from .conftest import make_reader


def test_texts_become_padded_feeds():
    texts = Texts.read(["a b c", "d", "a b c", "", "zzz"], make_reader())
    feed = texts.feed(np.array([1, 0]))
    assert feed["input_ids"].tolist() == [[2, 7, 3, 0, 0], [2, 4, 5, 6, 3]]
    assert feed["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert len(texts.lengths) == 2  # repeated, blank and unknown ones are left out
    assert texts.counts(8).tolist() == [0, 0, 2, 2, 1, 1, 1, 1]


def test_a_long_text_is_cut_before_and_after_tokens():
    ids = make_reader(max_tokens=5)(["a " * 5_000_000])[0]
    assert ids == [2, 4, 4, 4, 3]


def test_texts_without_anything_are_refused():
    with pytest.raises(DataError, match="no text to distil on"):
        Texts.read(["", "zzz"], make_reader())


def test_special_tokens():
    reader = make_reader()
    assert reader.specials.tolist() == [0, 1, 2, 3]
    assert reader.around == ([2], [3])
    assert reader.size == 24


def test_a_reader_is_written_and_read_again():
    reader = make_reader(max_tokens=7)
    again = Reader(reader.spelled())
    assert again.max_tokens == 7
    assert again(["a b zzz"]) == reader(["a b zzz"]) == [[2, 4, 5, 1, 3]]


def test_a_folder_without_tokenizer_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no tokenizer\.json"):
        Reader.open(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Reader("{}")


def test_fingerprints_tell_texts_apart():
    reader = make_reader()
    first, second = Texts.read(["a b", "c"], reader), Texts.read(["a", "b c"], reader)
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() == Texts.read(["a b", "c"], reader).fingerprint()
    rows = np.array([[0, 1, 1]])
    assert Triples(first, rows).fingerprint() != Triples(second, rows).fingerprint()


def test_triples_feed_three_rows_each():
    texts = Texts.read(["a", "b c", "d"], make_reader())
    feed = Triples(texts, np.array([[2, 0, 1], [0, 1, 2]])).feed(np.array([1, 0]))
    assert feed["input_ids"][:, 1].tolist() == [4, 5, 7, 7, 4, 5]


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(DataError, match=r"\[1, 2\] rows"):
        Arrays({"x": np.zeros(2), "y": np.zeros(1)})


def test_texts_of_a_catalogue_are_titles_items_and_searches():
    items = pl.DataFrame(
        {"item": ["1", "2"], "title": ["Heat", None], "categories": [["Crime"], []], "text": [None, "A thief."]}
    )
    users = pl.DataFrame({"user": pl.Series([], dtype=pl.String)})
    dataset = Dataset(
        item_ids=IdMap(items["item"]), user_ids=IdMap(users["user"]), items=items, users=users, log=Histories.empty(0)
    ).with_queries(pl.DataFrame({"text": ["robbers", "robbers"], "item": ["1", "2"]}))
    assert texts_of(dataset) == ["Heat", "Heat. Crime", "A thief.", "robbers"]
