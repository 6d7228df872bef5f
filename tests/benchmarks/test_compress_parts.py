import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from benchmarks.__main__ import NAMES

from benchmarks import compress_parts
from twofold.core.errors import ConfigError


def test_a_part_that_cannot_run_says_why_and_the_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = ModuleType("benchmarks.compress_sparse")
    good.sparse = lambda *_: ([{"system": "one", "metric": "kept", "value": 1.0}], {"seed": 0})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "benchmarks.compress_sparse", good)
    monkeypatch.setitem(sys.modules, "benchmarks.compress_decoder", None)  # as where torch is not installed
    monkeypatch.setenv("TWOFOLD_COMPRESS_PARTS", "decoder, sparse")
    found = compress_parts.run(tmp_path, lambda _: None)
    assert found["rows"] == [{"system": "one", "metric": "kept", "value": 1.0}]
    assert found["protocol"]["sparse"] == {"seed": 0, "seconds": 0}
    assert "benchmarks.compress_decoder" in found["protocol"]["decoder"]["could not run"]
    assert NAMES["compress-parts"] == "compress_parts"


def test_an_unknown_part_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_COMPRESS_PARTS", "vector")
    with pytest.raises(ConfigError, match="there is no part 'vector' of the benchmark"):
        compress_parts.run(tmp_path, lambda _: None)


def test_ways_to_store_vectors_are_told_with_their_bytes() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(300, 384)).astype(np.float32)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    rows = {(row["system"], row["metric"]): row["value"] for row in compress_parts._recalls("x", exact, exact[:5])}
    assert rows["x: float32", "bytes"] == 300 * 384 * 4
    assert rows["x: int8", "bytes"] == 300 * (384 + 4)  # a scale a vector
    assert rows["x: binary", "bytes"] == 300 * 48 + 384 * 4  # and the means
    for way in ("int8", "binary", "matryoshka 96", "product 48"):
        recalls = [rows[f"x: {way}", "recall@10"], rows[f"x: {way}", "recall@10 rescored 200"]]
        assert recalls == sorted(recalls)
        assert recalls[1] > 0.9
