import polars as pl

from twofold.data.texts import item_texts


def test_parts_are_sentences():
    items = pl.DataFrame(
        {
            "title": ["Heat", "Who?", None, "  ", "英雄"],
            "categories": [["Crime", None], [], ["Drama"], None, ["武侠"]],
            "text": ["A thief.", "Nobody", None, "", "一个刺客。"],
        }
    )
    assert item_texts(items) == ["Heat. Crime. A thief.", "Who? Nobody", "Drama", "", "英雄. 武侠. 一个刺客。"]


def test_columns_may_be_missing():
    assert item_texts(pl.DataFrame({"item": [1, 2], "title": ["a", None]})) == ["a", ""]
    assert item_texts(pl.DataFrame({"item": [1]})) == [""]
    assert item_texts(pl.DataFrame({"title": pl.Series([], dtype=pl.String)})) == []


def test_null_characters_do_not_part_a_title():
    assert item_texts(pl.DataFrame({"title": ["a\0b"], "text": ["c"]})) == ["ab. c"]
