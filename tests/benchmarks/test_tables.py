import json
from pathlib import Path

import pytest
from benchmarks.tables import PAGES, main, render, rewrite

RESULT = {
    "name": "small",
    "protocol": {},
    "machine": {"cpu": "Some CPU", "cores": 2, "python": "3.12.1"},
    "rows": [
        {"system": "one", "metric": "ndcg@10", "value": 0.12345, "low": 0.1, "high": 0.15},
        {"system": "one", "metric": "fit seconds", "value": 1234.5, "low": None, "high": None},
        {"system": "two", "metric": "ndcg@10", "value": 0.2, "low": 0.18, "high": 0.22},
    ],
}
PAGE = 'above\n<!-- table: small ndcg@10 "fit seconds" -->\nold\n<!-- end -->\nbelow\n'
TABLE = """\
| system | ndcg@10 | fit seconds |
| --- | ---: | ---: |
| one | 0.1235 [0.1000, 0.1500] | 1,234 |
| two | **0.2000** [0.1800, 0.2200] |  |

`benchmarks/results/small.json`; Some CPU, 2 cores, Python 3.12.1.
"""


def project(folder: Path, *, measured: bool) -> Path:
    results = folder / "benchmarks" / "results"
    results.mkdir(parents=True)
    if measured:
        (results / "small.json").write_text(json.dumps(RESULT), encoding="utf-8")
    for page in PAGES:
        (folder / page).write_text(PAGE, encoding="utf-8")
    return folder


def test_a_result_becomes_a_table_with_the_best_quality_in_bold():
    assert render(RESULT, ["ndcg@10", "fit seconds"], "system") == TABLE


def test_only_what_stands_between_the_comments_is_replaced(tmp_path):
    page = rewrite(PAGE + PAGE, project(tmp_path, measured=True) / "benchmarks" / "results", ("system", "?"))
    one = f'above\n<!-- table: small ndcg@10 "fit seconds" -->\n{TABLE}<!-- end -->\nbelow\n'
    assert page == one + one


def test_a_missing_result_leaves_a_sentence(tmp_path):
    root = project(tmp_path, measured=False)
    assert main([], root=root) == 0
    assert "small: not measured yet.\n<!-- end -->" in (root / "README.md").read_text(encoding="utf-8")
    assert "small: 尚未测量.\n<!-- end -->" in (root / "README.zh-CN.md").read_text(encoding="utf-8")


def test_check_changes_nothing_and_fails_where_a_table_is_stale(tmp_path, capsys):
    root = project(tmp_path, measured=True)
    assert main(["--check"], root=root) == 1
    assert "README.md is stale" in capsys.readouterr().out
    assert (root / "README.md").read_text(encoding="utf-8") == PAGE
    assert main([], root=root) == 0
    assert main(["--check"], root=root) == 0


def test_an_unknown_metric_is_refused_by_name():
    with pytest.raises(ValueError, match="no metric 'ndgc@10'"):
        render(RESULT, ["ndgc@10"], "system")
