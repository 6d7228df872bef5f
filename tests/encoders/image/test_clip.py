"""`Clip` with a tiny random checkpoint."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.encoders.image.conftest import catalogue, encoded, noise

from twofold.core import Dataset
from twofold.core.errors import ConfigError
from twofold.encoders.image import Clip, ClipConfig
from twofold.encoders.image.pictures import View

transformers = pytest.importorskip("transformers")
Write = Callable[[str, bytes], str]
WORDS = ["<pad>", "<s>", "</s>", "<unk>", "red", "shoe", "blue", "hat", "a"]
LOOKS = {
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 28, "width": 28},
    "do_center_crop": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two layers a tower, with a tokenizer of nine words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("clip")
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**layers, "vocab_size": 9, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.CLIPConfig(
        text_config={**text, "pad_token_id": 0},
        vision_config={**layers, "image_size": 28, "patch_size": 14},
        projection_dim=12,
    )
    transformers.set_seed(0)
    transformers.CLIPModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: code for code, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(LOOKS))
    return folder


@pytest.fixture
def dataset(write: Write) -> Dataset:
    return catalogue([write("a.png", encoded(noise(1))), write("b.png", encoded(noise(2))), None])


def fitted(dataset: Dataset, model: Path, folder: Path) -> Clip:
    return Clip(ClipConfig(model=str(model), folder=str(folder), threads=1, batch=2)).fit(dataset)


def test_both_towers_equal_transformers(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    import torch

    stage = fitted(dataset, model, tmp_path)
    assert stage.view == View(size=28, crop=28 / 32, mean=(127.5, 102, 76.5), std=(51, 76.5, 102))
    whole = transformers.CLIPModel.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    texts = ["red shoe", "a blue hat", "hat"]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    pixels = torch.from_numpy(
        np.stack([stage.view.pixels((tmp_path / name).read_bytes()) for name in ("a.png", "b.png")])
    )
    with torch.no_grad():
        found = whole(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
    np.testing.assert_allclose(stage.encode(texts, "text"), found.text_embeds.numpy(), atol=1e-4)
    np.testing.assert_allclose(stage.vectors[:2], found.image_embeds.numpy(), atol=1e-4)


def test_odd_texts_and_files(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    stage = fitted(dataset, model, tmp_path)
    texts = stage.encode(["", " \n", "hat", "hat " * 5_000, "鞋"], "text")
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), [0, 0, 1, 1, 1], atol=1e-5)
    assert not stage.encode([b"no image"], "image").any()
    assert not stage.vectors[2].any()
    assert stage.encode([], "text").shape == (0, 12)


def test_it_comes_back_without_torch(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    stage = fitted(dataset, model, tmp_path)
    (tmp_path / "saved").mkdir()
    stage.save(tmp_path / "saved")
    dataset.save(tmp_path / "dataset")
    np.save(tmp_path / "text.npy", stage.encode(["red shoe"], "text"))
    program = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from twofold.core import Dataset\n"
        "from twofold.encoders.image import Clip\n"
        "stage = Clip()\n"
        "stage.restore(Path('saved'), Dataset.load(Path('dataset')))\n"
        "np.testing.assert_allclose(stage.encode(['red shoe'], 'text'), np.load('text.npy'), atol=1e-4)\n"
        "found = stage.encode([Path('b.png').read_bytes()], 'image')\n"
        "np.testing.assert_allclose(found[0], stage.vectors[1], atol=1e-4)\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_only_a_clip_with_plain_weights_is_read(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    def fit(name: str) -> None:
        Clip(ClipConfig(model=name, folder=str(tmp_path))).fit(dataset)

    with pytest.raises(ConfigError, match="no folder 'nowhere'"):
        fit("nowhere")
    other = tmp_path / "other"
    other.mkdir()
    for file in model.iterdir():
        if file.suffix != ".safetensors":
            (other / file.name).write_bytes(file.read_bytes())
    (other / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ConfigError, match="safetensors"):
        fit(str(other))
    transformers.BertConfig().save_pretrained(other)
    with pytest.raises(ConfigError, match="'bert', not of the CLIP family"):
        fit(str(other))
