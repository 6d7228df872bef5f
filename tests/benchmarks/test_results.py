"""The results that are shown reach what was promised; a rerun that does not is not to be shown without a word."""

import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

FLOORS = [
    ("cold-items", "fine-tuned MiniLM, mean of history", "ndcg@20", 1.2, "MiniLM, mean of history"),
    ("cold-items", "content, fine-tuned MiniLM", "ndcg@20", 2.0, "popularity foretold from attributes and text"),
    ("clothing", "EfficientNet-Lite0, centred, 128 directions (default)", "image to image map", 4.0, "chance"),
    ("clothing", "joint space", "text to image recall", 5.0, "chance"),
]
"""Result, system, metric, and how many times that of another system."""


def figures(name: str) -> dict[tuple[str, str], float]:
    rows = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    return {(row["system"], row["metric"]): row["value"] for row in rows}


@pytest.mark.parametrize(("name", "system", "metric", "times", "other"), FLOORS)
def test_a_system_beats_another_by_so_much(name: str, system: str, metric: str, times: float, other: str) -> None:
    found = figures(name)
    assert found[system, metric] >= times * found[other, metric] > 0


def test_the_sequential_model_reaches_what_is_published_of_its_kind() -> None:
    found = figures("ml1m-loo")  # published on this file: .3152 and .1821
    assert found["sequential", "hr@10"] >= 0.3152
    assert found["sequential", "ndcg@10"] >= 0.1821
    assert found["sequential", "training seconds"] < 3600
    assert found["twofold with sequences", "ndcg@10"] >= 0.20


def test_a_language_model_and_sequences_rank_no_worse_on_a_small_log() -> None:
    found = figures("movielens-small")
    for metric in ("ndcg@5", "ndcg@10", "ndcg@20", "hr@5", "hr@10", "hr@20", "mrr@10"):
        assert found["language", metric] >= found["twofold default recipe", metric]


def test_titles_help_short_histories_beyond_what_is_published() -> None:
    found = figures("beauty-loo")  # published on this file: .1008 and .0611
    assert found["sequential, titles", "hr@10"] >= 0.1008
    assert found["sequential, titles", "ndcg@10"] >= 0.0611
    assert found["sequential, titles", "hr@10"] > found["sequential", "hr@10"]
    assert found["twofold with sequences and titles", "ndcg@10"] > found["sequential, titles", "ndcg@10"]


def test_words_and_meaning_together_beat_each_alone() -> None:
    found = figures("search")
    assert found["hybrid", "scifact ndcg@10"] >= 0.71
    alone = max(found[system, "cranfield ndcg@10"] for system in ("Twofold BM25", "MiniLM"))
    assert found["hybrid", "cranfield ndcg@10"] >= 1.05 * alone


def test_learning_from_claims_helps_the_search_for_claims() -> None:
    found = figures("scifact")
    assert found["hybrid", "ndcg@10"] >= 0.71
    assert found["hybrid, fine-tuned", "ndcg@10"] >= 0.75
    assert found["hybrid, adapted, earlier claims added", "ndcg@10"] >= 0.78
    unseen = "ndcg@10, abstract unseen"
    assert found["hybrid, fine-tuned", unseen] > found["hybrid", unseen]


def test_vectors_in_fewer_bytes_find_what_exact_search_finds() -> None:
    found = figures("compress-parts")
    for data in ("scifact", "ml-latest-small"):
        assert found[f"{data}: int8", "recall@10 rescored 20"] >= 0.995
        assert found[f"{data}: int8", "times as small"] > 3.9
        assert found[f"{data}: binary", "recall@10 rescored 200"] >= 0.97
        assert found[f"{data}: binary", "times as small"] > 31


def test_the_ladder_of_a_text_encoder_keeps_what_it_promises() -> None:
    found = figures("compress")
    for data in ("scifact", "ml-latest-small"):
        whole, layers, static = (
            f"{data}: {name}" for name in ("tokens, int8 openvino", "3 layers, int8 openvino", "static")
        )
        assert found[whole, "kept"] >= 0.99
        assert found[whole, "rate_gain"] >= 3
        assert found[whole, "times as small"] >= 4.5
        assert found[layers, "kept"] >= 0.92
        assert found[layers, "rate_gain"] >= 5
        assert found[layers, "times as small"] >= 6
        assert found[static, "kept"] >= 0.88
        assert found[static, "rate_gain"] >= 100
        assert found[static, "times as small"] >= 10


def test_memory_stays_as_it_was_for_an_hour() -> None:
    found = figures("soak")
    assert found["twofold serve", "growth, %"] <= 5


def test_a_decoder_in_few_bits_is_faster_and_says_the_same() -> None:
    found = figures("compress-parts")
    for name in ("int8", "int4, groups of 32, exact zeros, the output layer int8"):
        assert found[name, "perplexity ratio"] <= 1.02
        assert found[name, "speedup over float32 in onnxruntime"] >= 1.8
    assert found["int4, groups of 32", "perplexity ratio"] > 1.02  # why a zero point is not enough


def test_half_of_the_weights_can_go_where_the_others_take_over() -> None:
    found = figures("compress-parts")
    assert found["threshold, repaired", "kept"] >= 0.985 > found["threshold, not healed", "kept"]


@pytest.mark.parametrize("trace", ["clumps, 3 x", "day, 3 x", "burst, 5 x"])
def test_a_ladder_that_is_steered_serves_more_quality_in_time_than_each_of_its_rungs(trace: str) -> None:
    found = figures("overload")
    alone = [system for system, metric in found if metric == "capacity, answers a second" and system != "steered"]
    assert len(alone) == 4
    for system in alone:
        metric = f"{trace}: effective quality"
        assert found["steered", metric] > found[system, metric]
    assert found["steered", f"{trace}: in time"] >= 0.9
    assert found["steered", f"{trace}: times as few violations as the top rung"] >= 10
