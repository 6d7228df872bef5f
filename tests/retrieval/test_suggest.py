import numpy as np
import pytest

from twofold.retrieval.lexical import Lexical

TITLES = [
    "The Matrix",
    "Star Wars",
    "Star Trek",
    "A Star Is Born",
    "Star Wars",
    "Amélie",
    "功夫熊猫",
    None,
    "The Godfather",
]
LIKES = [1, 3, 5, 9, 2, 1, 1, 7, 4]


@pytest.fixture
def stage(catalogue):
    return Lexical().fit(catalogue(TITLES, likes=LIKES))


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("sta", ["Star Trek", "Star Wars", "A Star Is Born"]),  # begins so, then has a word so; the more liked first
        ("STAR W", ["Star Wars"]),
        ("w star", ["Star Wars"]),
        ("the ", ["The Godfather", "The Matrix"]),
        ("matirx", ["The Matrix"]),
        ("gofath", ["The Godfather"]),
        ("ame", ["Amélie"]),
        ("功夫", ["功夫熊猫"]),
        ("熊", ["功夫熊猫"]),
        ("star wars episode", []),
        ("", []),
        (" ... ", []),
        ("x" * 10_000, []),
        ('title:"x" AND (', []),
    ],
)
def test_suggest(stage, prefix, expected):
    assert stage.suggest(prefix) == expected


def test_no_more_than_k_different_titles(stage):
    assert stage.suggest("star", 2) == ["Star Trek", "Star Wars"]
    assert stage.suggest("star", 0) == []


def test_titles_of_items_that_are_gone_are_not_suggested(stage):
    allowed = np.arange(len(TITLES)) != TITLES.index("Star Trek")
    assert stage.suggest("sta", allowed=allowed) == ["Star Wars", "A Star Is Born"]
    assert stage.suggest("gofath", allowed=np.zeros(len(TITLES), bool)) == []
