import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from twofold.compress.prune import drop_heads, drop_layers, drop_neurons, drop_tokens, load_pruned
from twofold.core.errors import ArtifactError
from twofold.train.silence import silent

FAMILIES = ["bert", "gpt", "t5"]


def prune(model, tokenizer, *, even):
    """Drop a bit of everything."""
    smaller = drop_tokens(model, tokenizer, ["heat crime", "a drama"])
    drop_layers(model, [1])
    layers = [0, 1] if even or model.config.model_type == "t5" else [1]
    drop_heads(model, {place: [0] for place in layers})
    drop_neurons(model, {place: range(8) for place in ([0, 1] if even else [0])})
    return smaller


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_pruned_weights_reload(make_model, states, tokenizer, tmp_path, family, even):
    model = make_model(family)
    feed = prune(model, tokenizer, even=even)(["heat crime", "a"], padding=True)
    model.save_pretrained(tmp_path)
    loaded = load_pruned(tmp_path)
    assert not loaded.training
    assert torch.equal(states(loaded, feed), states(model, feed))
    shapes = [[(name, value.shape) for name, value in one.named_parameters()] for one in (model, loaded)]
    assert shapes[0] == shapes[1]
    drop_layers(loaded, [0])  # and can be pruned on
    loaded.save_pretrained(tmp_path / "again")
    assert torch.equal(states(load_pruned(tmp_path / "again"), feed), states(loaded, feed))


@pytest.mark.parametrize("family", ["gpt", "t5"])
def test_what_is_cut_evenly_is_read_by_transformers_alone(make_model, states, tokenizer, tmp_path, family):
    model = make_model(family)
    feed = prune(model, tokenizer, even=True)(["heat crime", "a"], padding=True)
    model.save_pretrained(tmp_path)
    with silent():
        plain = type(model).from_pretrained(tmp_path).eval()
    assert torch.equal(states(plain, feed), states(model, feed))


def test_a_bert_with_fewer_heads_is_never_read_wrongly_by_others(make_model, tmp_path):
    model = make_model("bert")
    drop_heads(model, {place: [0, 1] for place in range(3)})  # 16 / 2 would be heads of another size
    model.save_pretrained(tmp_path)
    with silent(), pytest.raises(RuntimeError, match=r"size|mismatch"):
        transformers.AutoModel.from_pretrained(tmp_path)


def test_halves_reload_as_halves(make_model, states, tmp_path):
    model = make_model("bert").half()
    drop_heads(model, {0: [0]})
    model.save_pretrained(tmp_path)
    loaded = load_pruned(tmp_path)
    assert loaded.dtype == torch.float16
    assert torch.equal(states(loaded), states(model))


def change(folder, **values):
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, **values}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
        lambda folder: change(folder, pruned_shape={"heads": [3, 4], "neurons": [24, 24, 24]}),
        lambda folder: change(folder, pruned_shape={"heads": [9, 4, 4], "neurons": [24, 24, 24]}),
        lambda folder: change(folder, pruned_shape={"heads": [4, 4, 4], "neurons": [24, 24, 24]}),
        lambda folder: change(folder, pruned_shape=None),
        lambda folder: change(folder, architectures=["os.system"]),
        lambda folder: change(folder, model_type="unheard"),
    ],
)
def test_a_damaged_folder_is_refused(make_model, tmp_path, damage):
    model = make_model("bert")
    drop_heads(model, {0: [0]})
    model.save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(ArtifactError, match="prune it again"):
        load_pruned(tmp_path)


def test_weights_that_lack_some_are_refused(make_model, tmp_path):
    make_model("bert").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["strange"] = weights.pop("encoder.layer.0.output.dense.bias")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match=r"lack \['encoder.layer.0.output.dense.bias'\] and have \['strange'\]"):
        load_pruned(tmp_path)
