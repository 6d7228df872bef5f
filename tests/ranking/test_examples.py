import numpy as np
import polars as pl
from tests.ranking.conftest import Fixed

from twofold.core import Dataset
from twofold.ranking.examples import Asked, draw, first_ranking, invented_searches, known_searches, part

TEXTS = ["red rose. a flower.", "blue whale. a mammal.", "green frog. an amphibian.", ""]


def test_searches_with_a_right_answer_are_known_once(dataset: Dataset) -> None:
    found = known_searches(dataset, [Fixed([1, 2, 0])], depth=2)
    assert [(asked.text, dict(asked.grades)) for asked in found] == [
        ("a b", {0: 1.0, 1: 0.0}),
        ("b b", {2: 2.0}),
        ("a a", {1: 1.0}),
    ]
    assert [asked.found.tolist() for asked in found] == [[1, 2]] * 3
    assert [asked.rivals for asked in found] == [[1, 2], [1], [2]]  # what was judged wrong is the first rival


def test_two_retrievers_are_heard_alike() -> None:
    items, scores = first_ranking([Fixed([1, 2, 0]), Fixed([2, 0])], ["x", "y"], depth=3)
    # the first gives 1, 0.5, 0 and the second 1, 0
    assert items.tolist() == [[2, 1, 0]] * 2
    np.testing.assert_allclose(scores, [[0.75, 0.5, 0.0]] * 2)


def test_without_retrievers_nothing_is_found() -> None:
    items, scores = first_ranking([], ["x"], depth=2)
    assert (items == -1).all()
    assert np.isneginf(scores).all()


def test_searches_are_invented_from_titles_and_sentences(dataset: Dataset) -> None:
    body = "The first sentence is long. The second sentence is long. The third sentence is long."
    items = dataset.items.with_columns(text=pl.lit(body))
    seen = set()
    for seed in range(20):
        for asked in invented_searches(items, [], 2, 9, np.random.default_rng(seed)):
            (item,) = asked.grades
            assert asked.answer is not None
            assert asked.text not in asked.answer
            assert item != 3  # has no title
            seen.add(asked.text)
    assert seen == {
        "red rose",
        "blue whale",
        "green frog",
        *(f"The {n} sentence is long." for n in ("first", "second", "third")),
    }


def test_the_text_without_the_sentence_is_the_answer(dataset: Dataset) -> None:
    body = "The first sentence is long. Short. The third sentence is long."
    items = dataset.items[:1].with_columns(text=pl.lit(body))
    drawn = {
        asked.text: asked.answer
        for seed in range(20)
        for asked in invented_searches(items, [], 2, 9, np.random.default_rng(seed))
    }
    assert drawn == {
        "red rose": body,
        "The first sentence is long.": "red rose. Short. The third sentence is long.",
        "The third sentence is long.": "red rose. The first sentence is long. Short.",
    }


def asked(**grades: float) -> Asked:
    known = {int(name[1:]): grade for name, grade in grades.items()}
    return Asked(text="x", grades=known, found=np.array([1, 2], np.int32), scores=np.array([2, 1], np.float32))


def test_an_example_has_the_right_text_first_and_no_other_right_one() -> None:
    searches = [asked(i0=1.0, i1=1.0)]
    for seed in range(20):
        (example,) = draw(searches, TEXTS, 2, np.random.default_rng(seed))
        assert example.candidates[0] in TEXTS[:2]
        assert set(example.candidates[1:]) <= {TEXTS[2], TEXTS[3]}
        assert len(example.candidates) == 3


def test_all_are_right_leaves_no_wrong_one() -> None:
    (example,) = draw([asked(i0=1.0, i1=1.0, i2=1.0, i3=1.0)], TEXTS, 2, np.random.default_rng(0))
    assert len(example.candidates) == 1


def test_a_part_is_put_aside() -> None:
    searches = [asked(**{f"i{n}": 1.0}) for n in range(10)]
    kept, aside = part(searches, 0.4, 3, np.random.default_rng(0))
    assert (len(kept), len(aside)) == (7, 3)
    assert sorted(next(iter(one.grades)) for one in kept + aside) == list(range(10))
