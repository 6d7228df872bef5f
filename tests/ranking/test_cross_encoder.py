import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.ranking.conftest import Fixed

from twofold.core import Batch, Candidates, Dataset
from twofold.core.config import build
from twofold.core.errors import ConfigError, DataError
from twofold.ranking import CrossEncoder, CrossEncoderConfig

OPTIONS: dict[str, Any] = {"max_tokens": 16, "threads": 1, "invented": 0, "held_out": 0.0, "wrong": 2}


def fitted(folder: Path, dataset: Dataset, **more: Any) -> CrossEncoder:
    stage = CrossEncoder(CrossEncoderConfig(model=str(folder), **{**OPTIONS, **more}))
    stage.linked["lexical"] = Fixed([0, 1, 2])
    return stage.fit(dataset, rng=0)


def candidates(items: list[list[int]]) -> Candidates:
    codes = np.array(items, np.int32)
    scores = np.where(codes < 0, -np.inf, np.arange(codes.shape[1], 0, -1)).astype(np.float32)
    return Candidates(items=codes, scores=scores, sources={"text.lexical": scores})


def test_it_learns_which_item_answers(model_folder: Path, dataset: Dataset) -> None:
    stage = fitted(model_folder, dataset, epochs=30, lr=5e-3, weight=1.0)
    batch = Batch.of_texts(["a b", "b b", "a a"])
    ranked = stage.rank(batch, "text", candidates([[0, 1, 2], [0, 1, 2], [2, 0, 1]]))
    assert ranked.items[:, 0].tolist() == [0, 2, 1]
    assert np.sort(ranked.items, axis=1).tolist() == [[0, 1, 2]] * 3
    assert (np.diff(ranked.scores, axis=1) <= 0).all()
    assert list(ranked.sources) == ["text.lexical", "cross-encoder"]


def test_a_search_with_few_candidates_beside_one_with_many(model_folder: Path, dataset: Dataset) -> None:
    stage = fitted(model_folder, dataset, epochs=1, weight=0.5)
    stage.depth = 2
    ranked = stage.rank(Batch.of_texts(["a b", "b b", "b"]), "text", candidates([[0, 1, 2], [2, -1, -1], [-1, -1, -1]]))
    assert sorted(ranked.items[0, :2].tolist()) == [0, 1]
    assert ranked.items[1:].tolist() == [[2, -1, -1], [-1, -1, -1]]
    assert np.isnan(ranked.sources["cross-encoder"][0, 2])  # it is not read


def test_the_weight_is_chosen_on_held_out_searches(model_folder: Path, dataset: Dataset) -> None:
    # Every search that is held out has the answer that the first ranking puts on top: nothing can be better.
    queries = pl.DataFrame({"text": ["a", "b", "red", "blue"], "item": ["r"] * 4})
    stage = fitted(model_folder, dataset.with_queries(queries), held_out=0.5, epochs=1)
    assert (stage.weight, stage.quality, stage.depth) == (0.0, 1.0, 0)
    found = candidates([[2, 1, -1]])
    ranked = stage.rank(Batch.of_texts(["a"]), "text", found)
    np.testing.assert_array_equal(ranked.items, found.items)
    np.testing.assert_array_equal(ranked.scores, found.scores)
    assert np.isnan(ranked.sources["cross-encoder"]).all()  # it was not even asked


def test_what_is_below_the_depth_stays_below(model_folder: Path, dataset: Dataset) -> None:
    stage = fitted(model_folder, dataset, depth=2, weight=1.0, epochs=1)
    for order in ([0, 1, 2, 3], [1, 0, 2, 3], [2, 1, 0, 3]):
        ranked = stage.rank(Batch.of_texts(["a b"]), "text", candidates([order]))
        assert ranked.items[0, 2:].tolist() == order[2:]
        assert sorted(ranked.items[0, :2].tolist()) == sorted(order[:2])


def test_an_item_without_a_text_is_in_the_middle_and_few_candidates_do_no_harm(
    model_folder: Path, dataset: Dataset
) -> None:
    stage = fitted(model_folder, dataset, weight=1.0, epochs=1)
    ranked = stage.rank(Batch.of_texts(["a b", "a"]), "text", candidates([[0, 3, 1], [3, -1, -1]]))
    assert ranked.items[0, 1] == 3
    assert ranked.items[1].tolist() == [3, -1, -1]
    empty = stage.rank(Batch.of_texts(["a b"]), "text", candidates([[]]))
    assert empty.items.shape == (1, 0)


def test_a_new_item_is_read_at_once(model_folder: Path, dataset: Dataset) -> None:
    stage = fitted(model_folder, dataset, weight=1.0, epochs=1)
    more, changed = dataset.with_items(pl.DataFrame({"item": ["r", "x"], "title": ["blue whale", "red rose"]}))
    stage.update(more, changed)
    ranked = stage.rank(Batch.of_texts(["a"]), "text", candidates([[4, 0]]))
    assert not np.isnan(ranked.sources["cross-encoder"]).any()


def test_a_process_without_torch_ranks_alike(model_folder: Path, dataset: Dataset, tmp_path: Path) -> None:
    stage = fitted(model_folder, dataset, weight=0.7, epochs=1)
    (tmp_path / "stage").mkdir()
    stage.save(tmp_path / "stage")
    dataset.save(tmp_path / "data")
    program = """
import json, sys
for name in ("torch", "transformers", "sentence_transformers"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from twofold.core import Batch, Candidates, Dataset
from twofold.ranking import CrossEncoder, CrossEncoderConfig
stage = CrossEncoder(CrossEncoderConfig(max_tokens=16, threads=1))
stage.restore(Path(sys.argv[1]) / "stage", Dataset.load(Path(sys.argv[1]) / "data"))
scores = np.array([[3, 2, 1]], np.float32)
found = Candidates(items=np.array([[0, 1, 2]], np.int32), scores=scores, sources={})
ranked = stage.rank(Batch.of_texts(["a b"]), "text", found)
print(json.dumps([ranked.items.tolist(), ranked.scores.tolist(), stage.weight]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True
    ).stdout
    items, scores, weight = json.loads(answer)
    ranked = stage.rank(Batch.of_texts(["a b"]), "text", candidates([[0, 1, 2]]))
    assert items == ranked.items.tolist()
    np.testing.assert_allclose(scores, ranked.scores, atol=1e-4)
    assert weight == 0.7


def test_it_starts_with_an_encoder_or_a_model(dataset: Dataset, tmp_path: Path) -> None:
    for config in (CrossEncoderConfig(), CrossEncoderConfig(model=str(tmp_path))):
        with pytest.raises(ConfigError, match="starts with a language model"):
            CrossEncoder(config).fit(dataset)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        CrossEncoder(CrossEncoderConfig(model=str(tmp_path))).fit(dataset)


def test_nothing_to_learn_from_is_said(model_folder: Path, dataset: Dataset) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        fitted(model_folder, dataset.with_queries(dataset.queries[:0]))


def test_invented_searches_are_enough(model_folder: Path, dataset: Dataset) -> None:
    stage = fitted(model_folder, dataset.with_queries(dataset.queries[:0]), invented=9, held_out=0.4, epochs=1)
    assert stage.quality is not None


def test_too_many_frozen_layers_are_refused(model_folder: Path, dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="2 layers"):
        fitted(model_folder, dataset, frozen_layers=3)


@pytest.mark.parametrize(
    "wrong",
    [{"depth": 0}, {"invented": -1}, {"lr": 0.0}, {"max_tokens": 4}, {"weight": 1.5}, {"encoder": "a", "model": "b"}],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build(CrossEncoderConfig, wrong, "rank.close")
