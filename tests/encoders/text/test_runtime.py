import logging

import numpy as np
import pytest
from tests.encoders.text.conftest import FAMILIES

from twofold.core.errors import ArtifactError, ConfigError
from twofold.encoders.text.model import load_model, save_model
from twofold.encoders.text.runtime import OnnxEncoder, cut


@pytest.fixture(scope="module")
def folder(model_folder, tmp_path_factory):
    written = tmp_path_factory.mktemp("saved")
    save_model(load_model(model_folder("bert")), written)
    return written


@pytest.fixture(scope="module")
def encoder(folder):
    return OnnxEncoder(folder, threads=1, batch_size=4)


def test_vectors_have_length_1_and_the_order_of_the_texts(encoder):
    texts = ["heat", "a b c d e f", "crime", "z"] * 3
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (12, 16) == (12, encoder.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[:4], vectors[4:8])
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)


@pytest.mark.parametrize(("family", "pooling"), FAMILIES)
def test_the_batch_does_not_matter(family, pooling, model_folder, tmp_path):
    save_model(load_model(model_folder(family, side="left"), pooling=pooling), tmp_path)
    texts = ["heat", "a b c", " ".join("abcdefghijklm"), "z", "crime heat", "中 文"]
    alone = OnnxEncoder(tmp_path, threads=1, batch_size=1).encode(texts)
    for size in (2, 6):
        together = OnnxEncoder(tmp_path, threads=1, batch_size=size).encode(texts)
        np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\x00\x01\x1f", "\u200f\u200b"])
def test_a_text_without_anything_to_read_gets_zeros(encoder, text):
    vectors = encoder.encode(["heat", text], prefix="a ")
    assert not vectors[1].any()
    assert vectors[0].any()


@pytest.mark.parametrize(
    "text", ["a", "中文 heat mixed", "שלום עולם", "he\x00at", "\ud800 half a pair", "🎬", "x" * 100_000]
)
def test_odd_texts_get_a_vector(encoder, text):
    np.testing.assert_allclose(np.linalg.norm(encoder.encode([text])[0]), 1, atol=1e-5)


def test_long_texts_are_cut_by_tokens_and_that_is_said_once(folder, caplog):
    encoder = OnnxEncoder(folder, threads=1)
    kept = "[CLS] $A </s>".count("[") + 61  # 64 tokens, of which the beginning and the end are 2
    texts = ["a " * 50_000, "b " * 50_000, "a " * kept]
    with caplog.at_level(logging.WARNING):
        vectors = encoder.encode(texts)
        encoder.encode(texts)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 texts are longer than 64 tokens and are cut there; this is said once."
    ]
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)


def test_no_texts_give_no_vectors(encoder):
    assert encoder.encode([]).shape == (0, 16)


def test_a_prefix_is_read(encoder):
    np.testing.assert_allclose(encoder.encode(["heat"], prefix="crime "), encoder.encode(["crime heat"]), atol=1e-5)


def test_leading_dimensions_have_length_1_again(folder, encoder):
    np.testing.assert_allclose(cut(np.array([[3.0, 4.0, 5.0]], np.float32), 2), [[0.6, 0.8]])
    np.testing.assert_array_equal(cut(np.zeros((1, 3), np.float32), 2), [[0, 0]])
    short = OnnxEncoder(folder, threads=1, dimensions=5)
    assert short.dimensions == 5
    np.testing.assert_allclose(short.encode(["heat", ""]), cut(encoder.encode(["heat", ""]), 5), atol=1e-6)


def test_vectors_that_are_no_numbers_are_refused(model_folder, tmp_path):
    model = load_model(model_folder("bert"))
    model[0].auto_model.encoder.layer[0].output.dense.weight.data[0, 0] = float("nan")
    save_model(model, tmp_path)
    with pytest.raises(ConfigError, match="no numbers"):
        OnnxEncoder(tmp_path, threads=1).encode(["heat"])


def test_a_damaged_folder_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="fit it again"):
        OnnxEncoder(tmp_path)
