"""`AudioEncoder` with a tiny random Whisper."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.encoders.audio.test_sound import wav

from twofold.core import Dataset, Histories, IdMap
from twofold.core.errors import ConfigError
from twofold.encoders.audio import AudioConfig, AudioEncoder
from twofold.encoders.audio.sound import RATE

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of two layers that hears one second."""
    folder = tmp_path_factory.mktemp("whisper")
    config = transformers.WhisperConfig(
        vocab_size=64,
        num_mel_bins=8,
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        decoder_layers=1,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=50,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    transformers.set_seed(0)
    transformers.WhisperModel(config).save_pretrained(folder)
    return folder


def tone(pitch: float, seconds: float) -> bytes:
    samples = 0.4 * np.sin(2 * np.pi * pitch * np.arange(int(RATE * seconds)) / RATE)
    return wav((samples * 32_767).astype("<i2").tobytes())


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "low.wav").write_bytes(tone(200, 0.5))
    (tmp_path / "high.wav").write_bytes(tone(3_000, 2.5))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    names = pl.Series("audio", ["low.wav", "high.wav", "bad.wav", None])
    items = pl.DataFrame({"item": [1, 2, 3, 4], "title": ["a", "b", "c", "d"]}).with_columns(names)
    return Dataset(
        item_ids=IdMap(items["item"]),
        user_ids=IdMap(pl.Series(["u"])),
        items=items,
        users=pl.DataFrame({"user": ["u"]}),
        log=Histories.empty(1),
    )


def fitted(dataset: Dataset, model: Path, folder: Path) -> AudioEncoder:
    return AudioEncoder(AudioConfig(model=str(model), folder=str(folder), threads=1)).fit(dataset)


def test_it_hears_what_transformers_hears(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    import torch

    stage = fitted(dataset, model, tmp_path)
    theirs = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    samples = np.frombuffer(tone(200, 0.5)[44:], "<i2").astype(np.float32) / 32_768
    features = theirs(samples, sampling_rate=RATE, return_tensors="pt")["input_features"]
    whole = transformers.WhisperModel.from_pretrained(model).eval()
    with torch.no_grad():
        heard = whole.get_encoder()(features).last_hidden_state[0, :25].mean(dim=0).numpy()
    np.testing.assert_allclose(stage.vectors[0], heard / np.linalg.norm(heard), atol=1e-4)


def test_a_sound_finds_its_own_item(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    stage = fitted(dataset, model, tmp_path)
    assert (stage.report.read, stage.report.missing, stage.report.refused[0].item) == (2, 1, 3)
    found = stage.encode([tone(200, 0.5), tone(3_000, 2.5), b"noise"], "audio")
    np.testing.assert_allclose(found, stage.vectors[:3], atol=1e-4)
    assert not stage.vectors[2:].any()
    larger, changed = dataset.with_items(pl.DataFrame({"item": [9], "audio": ["low.wav"]}))
    stage.update(larger, changed)
    np.testing.assert_allclose(stage.vectors[4], stage.vectors[0], atol=1e-5)


def test_it_comes_back_without_torch(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    stage = fitted(dataset, model, tmp_path)
    (tmp_path / "saved").mkdir()
    stage.save(tmp_path / "saved")
    dataset.save(tmp_path / "dataset")
    program = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from twofold.core import Dataset\n"
        "from twofold.encoders.audio import AudioEncoder\n"
        "stage = AudioEncoder()\n"
        "stage.restore(Path('saved'), Dataset.load(Path('dataset')))\n"
        "found = stage.encode([Path('low.wav').read_bytes()], 'audio')\n"
        "np.testing.assert_allclose(found[0], stage.vectors[0], atol=1e-4)\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_only_a_whisper_with_plain_weights_is_read(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    def fit(name: str) -> None:
        AudioEncoder(AudioConfig(model=name, folder=str(tmp_path))).fit(dataset)

    with pytest.raises(ConfigError, match="no folder ''"):
        fit("")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_bytes((model / "config.json").read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ConfigError, match="safetensors"):
        fit(str(pickled))
    transformers.BertConfig().save_pretrained(pickled)
    with pytest.raises(ConfigError, match="'bert', not Whisper"):
        fit(str(pickled))
