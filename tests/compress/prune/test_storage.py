import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from twofold.compress.prune import load_sparse, save_sparse
from twofold.core.errors import ArtifactError, ConfigError


def weights():
    rng = np.random.default_rng(0)
    sparse = rng.normal(size=(40, 33)).astype(np.float32)
    sparse[rng.random(sparse.shape) < 0.75] = 0
    dense = rng.normal(size=(7, 5)).astype(np.float16)
    return {
        "a.sparse": sparse,
        "b.dense": dense,
        "a.tied": sparse,
        "scalar": np.array(3.0),
        "empty": np.zeros((0, 4), np.float32),
        "zeros": np.zeros((3, 9), np.float32),
        "whole": np.array([0, 0, 0, 7], np.int64),
        "turned": sparse.T,
    }


def test_weights_come_back_as_they_were(tmp_path):
    given = weights()
    stored = save_sparse(given, tmp_path / "w.safetensors")
    found = load_sparse(tmp_path / "w.safetensors")
    assert found.keys() == given.keys()
    for name, value in given.items():
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value)
    assert found["a.tied"] is found["a.sparse"]
    assert stored.bytes == (tmp_path / "w.safetensors").stat().st_size
    assert list(tmp_path.iterdir()) == [tmp_path / "w.safetensors"]


def test_three_quarters_of_zeros_take_a_quarter_and_a_bit_each(tmp_path):
    values = np.zeros(80_000, np.float32)
    values[::4] = 1.5
    stored = save_sparse({"w": values.reshape(200, 400)}, tmp_path / "w.safetensors")
    assert (stored.zeros, stored.weights, stored.dense_bytes) == (60_000, 80_000, 320_000)
    assert 80_000 + 10_000 < stored.bytes < 90_000 + 600


def test_dense_weights_take_no_more_room_than_before(tmp_path):
    values = np.ones((100, 100), np.float32)
    assert save_sparse({"w": values}, tmp_path / "w.safetensors").bytes < values.nbytes + 500
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        assert list(file.keys()) == ["dense/w"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    with pytest.raises(ConfigError, match="layer holds NaN or infinite"):
        save_sparse({"layer": np.array([1.0, value])}, tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())


def rewrite(file, change):
    with safe_open(file, framework="numpy") as opened:
        names, described = list(opened.keys()), opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in names}
    change(tensors, described)
    save_file(tensors, file, metadata=described)


def shorten(tensors, _):
    tensors["values/a.sparse"] = tensors["values/a.sparse"][:-1]


def flip(tensors, _):
    tensors["values/a.sparse"] = -tensors["values/a.sparse"]


def reshape(_, described):
    shapes = json.loads(described["shapes"])
    described["shapes"] = json.dumps({**shapes, "b.dense": [5, 7]})


def rename(_, described):
    described["format"] = "another"


@pytest.mark.parametrize("change", [shorten, flip, reshape, rename])
def test_altered_files_are_refused(tmp_path, change):
    file = tmp_path / "w.safetensors"
    save_sparse(weights(), file)
    rewrite(file, change)
    with pytest.raises(ArtifactError, match="write it again"):
        load_sparse(file)


def test_every_byte_counts(tmp_path):
    file = tmp_path / "w.safetensors"
    save_sparse(weights(), file)
    content = file.read_bytes()
    for place in range(0, len(content), 97):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
        with pytest.raises(ArtifactError, match="write it again"):
            load_sparse(file)
    for size in (0, 7, 100, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(ArtifactError, match="write it again"):
            load_sparse(file)


def test_bits_and_values_that_do_not_fit_are_refused_even_with_a_true_seal(tmp_path, monkeypatch):
    file = tmp_path / "w.safetensors"
    save_sparse(weights(), file)
    monkeypatch.setattr("twofold.compress.prune.storage._digest", lambda *_: "same")
    for change in (shorten, lambda tensors, _: tensors.pop("bits/a.sparse")):
        save_sparse(weights(), file)
        rewrite(file, change)
        with pytest.raises(ArtifactError, match="is damaged"):
            load_sparse(file)


def test_a_file_that_is_missing_or_cannot_be_written_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="there is no file"):
        load_sparse(tmp_path / "none")
    with pytest.raises(ArtifactError, match="cannot be written"):
        save_sparse(weights(), tmp_path / "none" / "w.safetensors")


def test_the_formula_the_vocabulary_and_the_storage_need_no_torch():
    code = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from twofold.compress.prune import load_sparse, save_sparse, threshold, used_tokens
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
