import numpy as np
import polars as pl
import pytest

from twofold.core import Dataset, Histories, IdMap
from twofold.encoders.text.finetune import FineTune
from twofold.encoders.text.pairs import Drawn, pairs_of


def dataset_of(lists, titles, texts=None):
    items = pl.DataFrame(
        {"item": np.arange(len(titles)), "title": titles, "text": texts or [None] * len(titles)},
        schema={"item": pl.Int64, "title": pl.String, "text": pl.String},
    ).with_columns(categories=pl.Series([[]] * len(titles), dtype=pl.List(pl.String)))
    users = pl.Series("user", np.arange(len(lists)))
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(users),
        items=items,
        users=users.to_frame(),
        log=Histories.from_lists(lists),
    )


TITLES = [f"title {letter}" for letter in "abcdefgh"]
ALL = FineTune(steps=1, held_out=0.0)


def drawn_set(drawn):
    return set(zip(drawn.anchors.tolist(), drawn.positives.tolist(), strict=True))


def test_items_liked_side_by_side_are_pairs():
    data = dataset_of([[0, 1, 2], [3, 4], [5]], TITLES)
    pairs = pairs_of(data, FineTune(steps=1, held_out=0.0, window=1), rng=0)
    source, share = pairs.sources["likes"]
    drawn = source.draw(200, np.random.default_rng(0))
    assert drawn_set(drawn) == {(0, 1), (1, 0), (1, 2), (2, 1), (3, 4), (4, 3)}
    assert (source.size, share, pairs.size) == (5, 1.0, 5)
    assert drawn.ids.tolist() == drawn.positives.tolist()


def test_a_wider_window_pairs_more():
    data = dataset_of([[0, 1, 2]], TITLES)
    source, _ = pairs_of(data, ALL, rng=0).sources["likes"]
    assert (0, 2) in drawn_set(source.draw(200, np.random.default_rng(0)))


def test_popular_items_are_drawn_less_often():
    lists = [[0, other] for other in range(1, 8)]
    shares = []
    for power in (0.0, 1.0):
        options = FineTune(steps=1, held_out=0.0, popularity=power)
        source, _ = pairs_of(dataset_of(lists, TITLES), options, rng=0).sources["likes"]
        shares.append(np.mean(source.draw(4_000, np.random.default_rng(0)).positives == 0))
    # With power 1, item 0 has 7 likes of weight 1/7 against 7 of weight 1.
    assert shares == [pytest.approx(0.5, abs=0.03), pytest.approx(0.125, abs=0.03)]


def test_dislikes_and_items_without_text_make_no_pairs():
    data = dataset_of([[0, 1, 2]], ["a", None, "c", "d"])
    log = Histories.from_lists([[0, 1, 2, 3]])
    data = data.with_log(
        Histories(indptr=log.indptr, items=log.items, values=np.float32([1, 1, 1, -1]), timestamps=log.timestamps)
    )
    source, _ = pairs_of(data, ALL, rng=0).sources["likes"]
    assert drawn_set(source.draw(50, np.random.default_rng(0))) == {(0, 2), (2, 0)}


def test_items_put_aside_are_not_learned_from():
    rng = np.random.default_rng(0)
    data = dataset_of([rng.permutation(8) for _ in range(20)], TITLES)
    pairs = pairs_of(data, FineTune(steps=1, held_out=0.25), rng=0)
    (held,) = pairs.held_out
    aside = set(held.candidates.tolist())
    drawn = pairs.draw(np.random.default_rng(0))
    assert len(aside) == 2
    assert not aside & {*drawn.anchors.tolist(), *drawn.positives.tolist()}
    assert set(held.pairs.positives.tolist()) <= aside
    assert not aside & set(held.pairs.anchors.tolist())


def answered(data):
    answers = {"text": ["q one", "q one", "q two", "q three", " "], "item": [0, 1, 2, 3, 4], "grade": [1, 2, 1, 0, 1]}
    return data.with_queries(pl.DataFrame(answers))


def test_searches_and_their_answers_are_pairs():
    pairs = pairs_of(answered(dataset_of([], TITLES)), ALL, rng=0)
    drawn = pairs.draw(np.random.default_rng(0))
    said = [(pairs.texts[a], i) for a, i in zip(drawn.anchors, drawn.ids, strict=True)]
    assert sorted(said) == [("q one", 0), ("q one", 1), ("q two", 2)]
    assert pairs.asks[drawn.anchors].all()
    assert not pairs.asks[drawn.positives].any()


def test_what_belongs_to_an_anchor_is_known():
    pairs = pairs_of(answered(dataset_of([[0, 1]], TITLES)), ALL, rng=0)
    one = pairs.texts.index("q one")
    found = pairs.belongs(np.array([one, 1]), np.array([0, 1, 2]))
    assert found.tolist() == [[True, True, False], [False, True, False]]


def test_searches_are_put_aside_whole():
    pairs = pairs_of(answered(dataset_of([], TITLES)), FineTune(steps=1, held_out=0.5, held_out_most=3), rng=1)
    (held,) = pairs.held_out
    drawn = pairs.draw(np.random.default_rng(0))
    assert not set(drawn.anchors.tolist()) & set(held.pairs.anchors.tolist())
    assert set(held.pairs.positives.tolist()) <= set(held.candidates.tolist())


def test_titles_are_paired_with_their_texts():
    data = dataset_of([], ["a", "b", None], ["plot a", None, "plot c"])
    pairs = pairs_of(data, FineTune(steps=1, fields=1.0), rng=0)
    drawn = pairs.draw(np.random.default_rng(0))
    assert [(pairs.texts[a], pairs.texts[p]) for a, p in zip(drawn.anchors, drawn.positives, strict=True)] == [
        ("a", "plot a")
    ]
    assert drawn.ids.tolist() == [0]
    assert pairs.belongs(drawn.anchors, np.array([0, 1])).tolist() == [[True, False]]


def test_hard_negatives_are_what_a_search_finds_and_nobody_wanted():
    asked = []

    def search(texts):
        asked.extend(texts)
        return np.array([[1, 0, 5, -1]] * len(texts), np.int32)

    pairs = pairs_of(answered(dataset_of([], TITLES)), ALL, rng=0, search=search)
    hard = {pairs.texts[anchor]: codes.tolist() for anchor, codes in pairs.hard.items()}
    assert sorted(asked) == ["q one", "q two"]
    assert hard == {"q one": [5], "q two": [1, 0, 5]}


def test_listed_pairs_come_once_before_any_comes_twice():
    pairs = pairs_of(answered(dataset_of([], TITLES)), FineTune(steps=1, held_out=0.0, queries=2.0), rng=0)
    drawn = pairs.draw(np.random.default_rng(0))
    assert sorted(drawn.ids.tolist()) == [0, 0, 1, 1, 2, 2]


def test_pairs_are_put_together_and_taken():
    one = Drawn(anchors=np.array([1, 2]), positives=np.array([3, 4]), ids=np.array([5, 6]))
    both = Drawn.concatenate([one, one]).take(np.array([3, 0]))
    assert (both.anchors.tolist(), both.positives.tolist(), both.ids.tolist()) == ([2, 1], [4, 3], [6, 5])
    assert len(Drawn.concatenate([])) == 0


@pytest.mark.parametrize("change", [{"minutes": -1.0}, {"batch_size": 1}, {"lr": 0.0}, {"dimensions": (0,)}])
def test_options_are_checked(change):
    with pytest.raises(ValueError, match="fine-tuning wants"):
        FineTune(**change)


def test_off_by_default():
    assert not FineTune().on
    with pytest.raises(ValueError, match="something to learn from"):
        FineTune(steps=1, likes=0.0, queries=0.0)
