from html.parser import HTMLParser

import numpy as np
import pytest

from twofold.core.errors import ArtifactError
from twofold.core.slate import Pick, Slate
from twofold.evaluate import report
from twofold.evaluate.report import render_report, write_report
from twofold.evaluate.table import Row, Table

VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Reads a page; notes its tags, its attributes and its text, and that every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.text, self.open = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


def make(shift=0.0, **options):
    base = np.random.default_rng(0).random(60)
    noise = np.random.default_rng(1).normal(0, 0.2, 60)
    rows = [
        Row(
            name="plain",
            metrics={"ndcg@10": base, "ndcg@5": base / 2},
            beyond={"coverage@10": 0.5, "popularity_lift@10": -0.25},
            extra={"ms a query": 2.0},
            slices={"new users": {"cases": 7.0, "ndcg@10": 0.03}},
        ),
        Row(name="fused", metrics={"ndcg@10": base + noise * (shift == 0) + shift, "ndcg@5": base / 3}),
    ]
    return Table(rows=rows, protocol={"split": "global-time", "machine": {"cpu": "some"}}, **options)


def pick(title="Film", snippet=None):
    return Pick(item=1, title=title, score=1.0, sources={}, reason="because", snippet=snippet)


def test_page_is_whole_and_loads_nothing():
    page = Page(render_report(make(), title="Measured"))
    assert page.tags.count("svg") == 2
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)


def test_page_shows_figures_protocol_slices_and_cleaning():
    page = Page(
        render_report(
            make(),
            title="Measured",
            cleaning={
                "rows": 1234567,
                "kept": True,
                "aside": [{"line": 501, "reason": "too few columns"}],
                "guessed": ["user", "item"],
            },
        )
    ).words
    table = make()
    for row in table.rows:
        assert f"{table.find(row.name, 'ndcg@10').value:.4f}" in page
    for words in (
        "split",
        "global-time",
        "cpu",
        "new users (7)",
        "1,234,567",
        "too few columns",
        "popularity lift@10",
        "user, item",
    ):
        assert words in page


def test_verdict_says_whether_the_best_is_surely_best():
    sure = render_report(make(shift=0.3, baseline="plain"), title="x")
    assert "Every other system is lower beyond chance." in sure
    assert "times that of plain" in sure
    assert "cannot be told apart from" in render_report(make(), title="x")


def test_one_system_alone_has_no_differences():
    table = Table(rows=[Row(name="one", metrics={"ndcg@10": np.ones(4)})], protocol={})
    page = Page(render_report(table, title="x")).words
    assert "one has the highest ndcg@10: 1.0000" in page
    assert "Differences" not in page
    assert "Examples" not in page


HOSTILE = "<script>alert(1)</script>&\"' {title} {0}"


def test_whatever_data_hold_stands_as_text():
    row = Row(
        name=HOSTILE,
        metrics={"ndcg@10": np.ones(3)},
        beyond={HOSTILE: 1.0},
        slices={HOSTILE: {"cases": 1.0, "ndcg@10": 1.0}},
    )
    other = Row(name="<b>other", metrics={"ndcg@10": np.zeros(3)})
    slates = {HOSTILE: Slate(id="x", picks=(pick(HOSTILE, f"a <b>hit</b> {HOSTILE}"),), shortfall=HOSTILE)}
    page = Page(
        render_report(
            Table(rows=[row, other], protocol={HOSTILE: HOSTILE}, baseline="<b>other"),
            title=HOSTILE,
            slates=slates,
            cleaning={HOSTILE: [HOSTILE]},
        )
    )
    assert "script" not in page.tags
    assert page.words.count(" ".join(HOSTILE.split())) >= 8


@pytest.mark.parametrize(
    ("snippet", "shown"),
    [
        ("a <b>hit</b> &amp; more", "<p>a <b>hit</b> &amp; more</p>"),
        ("<b>one</b><b>two</b>", "<p><b>one</b><b>two</b></p>"),
        ("<b>never closed", "<p>&lt;b&gt;never closed</p>"),
        ("</b>wrong<b>", "<p>&lt;/b&gt;wrong&lt;b&gt;</p>"),
        ("<b onclick=x>y</b>", "<p>&lt;b onclick=x&gt;y&lt;/b&gt;</p>"),
        ("<img src=x>", "<p>&lt;img src=x&gt;</p>"),
    ],
)
def test_snippets_keep_only_whole_bold_tags(snippet, shown):
    page = render_report(make(), title="x", slates={"q": Slate(id="x", picks=(pick(snippet=snippet),))})
    assert shown in page


def test_report_is_written_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "deep" / "report.html"
    write_report(path, make(), title="first")
    write_report(path, make(), title="second")
    assert "<h1>second</h1>" in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_report_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report.os, "replace", full)
    with pytest.raises(ArtifactError, match="No space left"):
        write_report(tmp_path / "report.html", make(), title="x")
    assert list(tmp_path.iterdir()) == []


def test_report_into_a_file_as_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", make(), title="x")
