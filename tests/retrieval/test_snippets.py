import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from twofold.retrieval.snippets import LENGTH, snippet


def test_everything_but_the_bold_tags_is_escaped() -> None:
    found = snippet("<script>alert('x')</script> & cat", {"cat", "script"}.__contains__)
    assert found == "&lt;<b>script</b>&gt;alert(&#x27;x&#x27;)&lt;/<b>script</b>&gt; &amp; <b>cat</b>"


def test_the_stretch_with_the_most_hits_is_shown() -> None:
    text = "one cat " + "filler " * 60 + "a cat and a dog " + "filler " * 60
    found = snippet(text, {"cat", "dog"}.__contains__)
    assert "<b>cat</b> and a <b>dog</b>" in found
    assert found.startswith("… filler")
    assert found.endswith("filler …")
    assert len(found) < LENGTH + 40


def test_chinese_hits_that_touch_are_one() -> None:
    assert snippet("我爱喜剧电影。", {"喜剧", "剧电", "电影"}.__contains__) == "我爱<b>喜剧电影</b>。"


def test_a_text_without_a_hit_is_shown_from_its_beginning() -> None:
    assert snippet("no hit here", lambda _: False) == "no hit here"


@given(st.text("ab<>&\"' \n猫狗", max_size=300))
def test_the_only_tags_are_bold_and_the_text_stays(text: str) -> None:
    found = snippet(text, {"a", "ab", "猫"}.__contains__)
    assert set(re.findall(r"<[^>]*>", found)) <= {"<b>", "</b>"}
    plain = unescape(re.sub(r"</?b>", "", found)).removeprefix("… ").removesuffix(" …")
    assert plain in text
