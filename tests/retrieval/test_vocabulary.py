from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.retrieval.vocabulary import Vocabulary

KNOWN = Vocabulary.of([("matrix", 5), ("matrices", 2), ("matinee", 1), ("metric", 9), ("at", 3), ("r2d2", 1)])


@pytest.mark.parametrize(
    ("word", "distance", "expected"),
    [
        ("matirx", 1, [("matrix", 1)]),  # swapped
        ("matrx", 1, [("matrix", 1)]),  # left out
        ("mattrix", 1, [("matrix", 1)]),  # inserted
        ("metrix", 1, [("metric", 1), ("matrix", 1)]),  # replaced; the more frequent first
        ("metrix", 0, []),
        ("matrix", 2, [("metric", 2)]),  # itself is no typo
        ("x" * 30, 2, []),
        ("att", 1, []),  # too short to be in the vocabulary
    ],
)
def test_similar(word: str, distance: int, expected: list[tuple[str, int]]) -> None:
    assert [(other.word, other.distance) for other in KNOWN.similar(word, distance, limit=5)] == expected


def test_similar_beginnings() -> None:
    assert [other.word for other in KNOWN.similar("matir", 1, limit=5, prefix=True)] == [
        "matrix",
        "matrices",
        "matinee",
    ]


def reference(one: str, two: str) -> int:
    table = [[max(i, j) if not min(i, j) else 0 for j in range(len(two) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(two) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (one[i - 1] != two[j - 1])
            )
            if i > 1 and j > 1 and one[i - 1] == two[j - 2] and one[i - 2] == two[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


LETTERS = st.text("abcä", min_size=3, max_size=7)


@given(st.sets(LETTERS, min_size=1, max_size=12), LETTERS, st.integers(1, 2))
def test_similar_finds_just_the_words_within_the_distance(words: set[str], typed: str, distance: int) -> None:
    found = Vocabulary.of((word, 1) for word in words).similar(typed, distance, limit=20)
    assert {other.word: other.distance for other in found} == {
        word: away for word in words if 0 < (away := reference(typed, word)) <= distance
    }


@pytest.mark.parametrize("vocabulary", [KNOWN, Vocabulary.of([])], ids=["some", "empty"])
def test_save_and_load(tmp_path: Path, vocabulary: Vocabulary) -> None:
    vocabulary.save(tmp_path)
    loaded = Vocabulary.load(tmp_path)
    assert loaded.similar("matirx", 1, limit=3) == vocabulary.similar("matirx", 1, limit=3)
    assert loaded.words.tolist() == vocabulary.words.tolist()
