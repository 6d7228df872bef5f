import subprocess
import sys

import pytest

from twofold.retrieval.analysis import LONGEST_WORD, Analyzer


def terms(text: str, language: str = "en", *, chinese: bool = True) -> list[str]:
    return [word.term for word in Analyzer(language, chinese=chinese).query(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Café CAFE cafe", ["cafe"]),
        ("ﬁne Straße", ["fine", "strass"]),
        ("running runs ran", ["run", "ran"]),
        ('title:"x" AND (', ["titl", "x"]),
        ("the cat", ["cat"]),
        ("To be or not to be", ["to", "be", "or", "not"]),
        ("full－width １２３", ["full", "width", "123"]),
        ("... !?", []),
        ("   ", []),
        ("😀", []),
        ("x" * (LONGEST_WORD + 1), []),
    ],
)
def test_terms_of_a_query(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_without_a_language_nothing_is_stemmed_or_dropped() -> None:
    assert terms("the Runs", "none") == ["the", "runs"]


def test_only_a_word_that_ends_the_text_may_go_on() -> None:
    analyzer = Analyzer("en")
    assert [word.last for word in analyzer.query("toy sto")] == [False, True]
    assert [word.last for word in analyzer.query("toy sto ")] == [False, False]
    assert [word.last for word in analyzer.query("matrix of")] == [False]


def test_chinese_is_cut_into_words_and_pairs_between_other_text() -> None:
    found = terms("喜剧电影 Comedy")
    assert found[-1] == "comedi"
    assert {"喜剧", "剧电", "电影"} <= set(found)


def test_documents_hold_single_chinese_characters_too() -> None:
    assert {"小", "猫", "小猫"} <= set(Analyzer("en").split("小猫"))
    assert terms("猫") == ["猫"]


def test_jieba_is_loaded_for_chinese_documents_only_and_quietly() -> None:
    code = (
        "import sys; from twofold.retrieval.analysis import Analyzer; a = Analyzer('en');"
        "a.split('plain'); a.query('电影'); assert 'jieba' not in sys.modules;"
        "a.split('电影'); assert 'jieba' in sys.modules and a.chinese"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_telling_terms_of_a_document_are_without_stop_words_and_counted() -> None:
    assert Analyzer("en").telling("The cats of a cat 和 猫") == ["cat", "cat", "猫"]
