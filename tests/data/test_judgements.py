import json
import zipfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from twofold.core.errors import DataError
from twofold.data.judgements import (
    Judgements,
    dataset_of,
    printed_texts,
    read_beir,
    read_cranfield,
    read_scifact,
    read_trec,
)

CORPUS = [{"_id": "d1", "title": "One", "text": "first\u2028text"}, {"_id": "007", "title": "", "text": "second"}]
QUERIES = [{"_id": "q1", "text": "what?"}, {"_id": "q2", "text": "unjudged"}]


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES)):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\t007\t0\n")
    return tmp_path


def test_beir(beir: Path) -> None:
    found = read_beir(beir)
    assert found.documents.rows() == [("d1", "One", "first\u2028text"), ("007", "", "second")]
    assert found.queries == {"q1": "what?"}
    assert found.qrels == {"q1": {"d1": 2, "007": 0}}


def test_beir_in_carriage_returns_with_a_mark_in_front(beir: Path) -> None:
    text = "\ufeff" + "\r\n".join(json.dumps(row) for row in CORPUS)
    (beir / "corpus.jsonl").write_bytes(text.encode())
    assert read_beir(beir).documents["item"].to_list() == ["d1", "007"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", '{"_id": "d1"}\nnonsense', "corpus.jsonl, line 2"),
        ("corpus.jsonl", '{"title": "d1"}', "corpus.jsonl, line 1.*_id"),
        ("corpus.jsonl", '{"_id": "d1"}\n{"_id": "d1"}', "two documents.*'d1'"),
        ("corpus.jsonl", "", "no document"),
        ("qrels/test.tsv", "query-id corpus-id score\nq1 d1", "test.tsv, line 2, has 2 columns instead of 3"),
        ("qrels/test.tsv", "query-id corpus-id score\nq1 d1 good", "test.tsv, line 2, has 'good'"),
        ("qrels/test.tsv", "query-id corpus-id score\nq9 d1 1", "'q9', which has no text"),
    ],
)
def test_malformed_files_are_named(beir: Path, file: str, content: str, message: str) -> None:
    (beir / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read_beir(beir)


def test_missing_files_are_named(beir: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*train\.tsv"):
        read_beir(beir, "train")
    with pytest.raises(DataError, match=r"no file .*scifact\.zip"):
        read_scifact(beir)
    with pytest.raises(DataError, match=r"no file .*cran\.all\.1400"):
        read_cranfield(beir)


def test_a_judgement_needs_its_query() -> None:
    documents = pl.DataFrame({"item": ["d"], "title": ["t"], "text": ["x"]})
    with pytest.raises(ValueError, match="'q'"):
        Judgements(documents=documents, queries={}, qrels={"q": {"d": 1}})


DOCUMENTS = """<doc>
<docno> 1 </docno>
<title>lift & drag</title>
<author>nobody</author>
<text>a < b
and c</text>
</doc>
<DOC><DOCNO>2</DOCNO><TEXT>no title</TEXT></DOC>"""
TOPICS = "<top>\n<num> Number: {}\n<title> first question\n</top>\n<top><num>{}</num><title>second</title></top>"


def trec(folder: Path, numbers: tuple[int, int]) -> Judgements:
    (folder / "docs").write_text(DOCUMENTS)
    (folder / "topics").write_text(TOPICS.format(*numbers))
    (folder / "qrels").write_text("1 0 1 3\n1 0 2 -1\n2 0 2 1\n")
    return read_trec(folder / "docs", folder / "topics", folder / "qrels")


def test_trec(tmp_path: Path) -> None:
    found = trec(tmp_path, (1, 2))
    assert found.documents.rows() == [("1", "lift & drag", "a < b\nand c"), ("2", None, "no title")]
    assert found.queries == {"1": "first question", "2": "second"}
    assert found.qrels == {"1": {"1": 3, "2": 0}, "2": {"2": 1}}


def test_trec_topics_are_counted_where_their_numbers_are_others(tmp_path: Path) -> None:
    assert trec(tmp_path, (10, 2)).queries == {"1": "first question", "2": "second"}


def test_a_trec_document_without_a_number_is_refused(tmp_path: Path) -> None:
    trec(tmp_path, (1, 2))
    (tmp_path / "docs").write_text("<doc><title>x</title></doc>")
    with pytest.raises(DataError, match="without <docno>"):
        read_trec(tmp_path / "docs", tmp_path / "topics", tmp_path / "qrels")


def cranfield(folder: Path, judged: str) -> Path:
    (folder / "cran.all.1400").write_text(
        ".I 1\n.T\nlift of\nwings .\n.A\nx.\n.B\nj.\n.W\nlift of\nwings .\n.5 of chord\n.I 2\n.T\nflow\n.W\n"
    )
    (folder / "cran.qry").write_text(".I 001\n.W\nwhat lifts\n.I 004\n.W\nwhat flows\n")
    (folder / "cranqrel").write_text(judged)
    return folder


def test_cranfield_counts_queries_and_turns_grades_round(tmp_path: Path) -> None:
    folder = cranfield(tmp_path, "1 1 1\n1 2 -1\n2 1 4 \n2 2 2\n")
    found = read_cranfield(folder)
    assert found.documents.rows() == [("1", "lift of\nwings .", ".5 of chord"), ("2", "flow", "")]
    assert found.queries == {"1": "what lifts", "2": "what flows"}
    assert found.qrels == {"1": {"1": 4, "2": 0}, "2": {"1": 1, "2": 3}}
    assert read_cranfield(folder, doubtful=5).qrels["1"] == {"1": 4, "2": 5}


def test_a_grade_beyond_the_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1, has the grade 6"):
        read_cranfield(cranfield(tmp_path, "1 1 6"))


@pytest.mark.parametrize(
    ("printed", "texts"),
    [
        ("['one' 'two']", ["one", "two"]),
        ("['one'\n \"it's two\"]", ["one", "it's two"]),
        (r"['a \'b\' \"c\"', 'd']", ["a 'b' \"c\"", "d"]),
        (r"['tab\there\\n caf\xe9 \u03b2']", ["tab\there\\n café β"]),
        ("[]", []),
        ("[__import__('os').system('false')]", ["os", "false"]),
    ],
)
def test_printed_texts_are_read_and_never_run(printed: str, texts: list[str]) -> None:
    assert printed_texts(printed) == texts


def scifact(folder: Path, claims: str = "id,claim\n") -> Path:
    with zipfile.ZipFile(folder / "scifact.zip", "w") as archive:
        archive.writestr("corpus_train.csv", "doc_id,title,abstract,structured\n4,T,\"['A b.'\n 'C, d.']\",False\n")
        archive.writestr("claims_train.csv", "id,claim\n9,train claim\n")
        archive.writestr("claims_validation.csv", claims)
    (folder / "beir_qrels").mkdir()
    (folder / "beir_qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\t4\t1\n")
    return folder


def test_scifact(tmp_path: Path) -> None:
    found = read_scifact(scifact(tmp_path, 'id,claim\n1,"a claim, twice"\n1,"a claim, twice"\n'))
    assert found.documents.rows() == [("4", "T", "A b. C, d.")]
    assert (found.queries, found.qrels) == ({"1": "a claim, twice"}, {"1": {"4": 1}})


def test_damaged_scifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'claim'"):
        read_scifact(scifact(tmp_path, "id\n1\n"))
    (tmp_path / "scifact.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"scifact\.zip cannot be read"):
        read_scifact(tmp_path)


def test_documents_become_a_dataset() -> None:
    documents = pl.DataFrame({"item": ["007", "b"], "title": ["t", None], "text": ["x", "y"]})
    data = dataset_of(documents)
    assert data.item_ids.decode([0]) == ["007"]
    assert data.items.schema["categories"] == pl.List(pl.String)
    assert (len(data.items), len(data.users), len(data.log)) == (2, 0, 0)
    assert data.fingerprint() != dataset_of(documents[:1]).fingerprint()


def test_judgements_become_queries_of_the_dataset() -> None:
    documents = pl.DataFrame({"item": ["a", "b"], "title": ["t", None], "text": ["x", "y"]})
    qrels = {"q": {"b": 2, "gone": 1, "a": -1}}
    judged = Judgements(documents=documents, queries={"q": "what?"}, qrels=qrels)
    assert dataset_of(documents, judged).queries.rows() == [("what?", "b", 2.0, None), ("what?", "a", 0.0, None)]


def test_real_scifact(data_folder: Path) -> None:
    found = read_scifact(data_folder / "scifact")
    assert len(found.documents) == 5_183
    assert len(found.queries) == len(found.qrels) == 300
    assert sum(map(len, found.qrels.values())) == 339
    assert found.documents["text"].str.len_chars().min() > 50
    assert {document for row in found.qrels.values() for document in row} <= set(found.documents["item"])


def test_real_cranfield(data_folder: Path) -> None:
    found = read_cranfield(data_folder / "cranfield")
    assert len(found.documents) == 1_400
    assert len(found.queries) == len(found.qrels) == 225
    gains = Counter(gain for row in found.qrels.values() for gain in row.values())
    assert gains == {4: 128, 3: 387, 2: 734, 1: 363, 0: 225}
    folder = data_folder / "cranfield" / "trec"
    same = read_trec(folder / "cran.all.1400.xml", folder / "cran.qry.xml", folder / "cranqrel.trec.txt")
    assert {name: row.keys() for name, row in same.qrels.items()} == {
        name: row.keys() for name, row in found.qrels.items()
    }
    assert [text.split() for text in same.queries.values()] == [text.split() for text in found.queries.values()]
