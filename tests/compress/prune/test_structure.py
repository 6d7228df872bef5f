import pytest
import torch

from twofold.compress.prune import drop_heads, drop_layers, drop_neurons
from twofold.compress.prune.families import find_body
from twofold.core.errors import ConfigError

FAMILIES = ["bert", "gpt", "t5"]


def close(one, other):
    return torch.allclose(one, other, atol=1e-5)


def size(model):
    return sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_without_some_layers_the_others_do_what_they_did(make_model, states, family):
    whole, model = make_model(family), make_model(family)
    drop_layers(model, [0, 2])
    body = find_body(model)
    assert (len(body.stack), model.config.num_hidden_layers) == (1, 1)
    assert size(model) < size(whole)
    kept = find_body(whole).stack[1].state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in body.stack[0].state_dict().items() if name in kept)
    for place in (0, 2):  # left out of the whole model by putting nothing through
        find_body(whole).stack[place].register_forward_hook(
            lambda _, inputs, out: (inputs[0], *out[1:]) if isinstance(out, tuple) else inputs[0]
        )
    assert close(states(model), states(whole))


@pytest.mark.parametrize("family", FAMILIES)
def test_without_some_heads_the_others_do_what_they_did(make_model, states, family):
    whole, model = make_model(family), make_model(family)
    gone = {0: [1], 1: [1], 2: [1]} if family == "t5" else {0: [1], 2: [0, 1]}
    drop_heads(model, gone)
    body, before = find_body(model), find_body(whole)
    for place, heads in gone.items():
        layer = before.stack[place]
        width = before.head_size(layer) * before.group(layer)
        output = before.linear(layer, before.family.output)
        for head in heads:
            output.weight.data[:, head * width : (head + 1) * width] = 0
    assert close(states(model), states(whole))
    left = [count - len(gone.get(place, ())) for place, count in enumerate(before.heads)]
    assert body.heads == left
    for place, count in enumerate(left):
        layer = body.stack[place]
        attention = body.attention(layer)
        queries = count * body.group(layer)
        told = {getattr(attention, name, queries) for name in ("num_attention_heads", "n_heads", "num_heads")}
        assert told == {queries}
        assert body.linear(layer, body.family.query).out_features == queries * before.head_size(layer)
        assert body.linear(layer, body.family.output).in_features == queries * before.head_size(layer)
    assert size(model) < size(whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_some_neurons_the_others_do_what_they_did(make_model, states, family):
    whole, model = make_model(family), make_model(family)
    drop_neurons(model, {0: [0, 5, 23], 2: range(20)})
    before = find_body(whole)
    for place, gone in ((0, [0, 5, 23]), (2, list(range(20)))):
        before.linear(before.stack[place], before.family.narrow).weight.data[:, gone] = 0
    assert close(states(model), states(whole))
    assert find_body(model).neurons == [21, 24, 4]
    assert {wide.out_features for wide in find_body(model).widening(find_body(model).stack[2])} == {4}


def test_a_t5_without_gates_loses_neurons_too(make_model, states):
    whole = make_model("t5", feed_forward_proj="relu")
    model = make_model("t5", feed_forward_proj="relu")
    drop_neurons(model, {1: [3]})
    before = find_body(whole)
    before.linear(before.stack[1], before.family.narrow).weight.data[:, 3] = 0
    assert close(states(model), states(whole))


def test_the_config_tells_the_truth_where_it_can(make_model):
    gpt, t5, bert = make_model("gpt"), make_model("t5"), make_model("bert")
    for model in (gpt, t5, bert):
        every = range(3)
        drop_neurons(model, {place: range(8) for place in every})
        drop_heads(model, {place: [0] for place in every})
    assert (gpt.config.num_attention_heads, gpt.config.num_key_value_heads, gpt.config.head_dim) == (4, 2, 4)
    assert (t5.config.num_heads, t5.config.d_kv, t5.config.d_ff) == (3, 6, 16)
    assert (gpt.config.intermediate_size, bert.config.intermediate_size) == (16, 16)
    assert not hasattr(gpt.config, "pruned_shape")
    assert not hasattr(t5.config, "pruned_shape")
    assert bert.config.pruned_shape == {"heads": [3, 3, 3], "neurons": [16, 16, 16]}  # 16 / 3 heads is no head


def test_a_gpt_still_generates_with_its_cache(make_model):
    model = make_model("gpt")
    drop_layers(model, [0])
    drop_heads(model, {1: [2]})
    ids = torch.tensor([[4, 15, 16]])
    options = {"max_new_tokens": 5, "do_sample": False, "attention_mask": torch.ones_like(ids), "eos_token_id": None}
    cached, anew = (model.generate(ids, use_cache=use, **options) for use in (True, False))
    assert torch.equal(cached, anew)


def test_kinds_of_layers_go_with_their_layers(make_model):
    kinds = ["sliding_attention", "full_attention", "full_attention"]
    options = {"layer_types": kinds, "sliding_window": 2, "max_window_layers": 3, "use_sliding_window": True}
    model = make_model("gpt", name="Qwen2ForCausalLM", **options)
    drop_layers(model, [0])
    assert model.config.layer_types == ["full_attention", "full_attention"]


def test_the_heads_of_a_t5_go_from_all_layers_or_none(make_model):
    model = make_model("t5")
    for gone in ({0: [1]}, {0: [1], 1: [1], 2: [2]}):
        with pytest.raises(ConfigError, match="share positions over all layers"):
            drop_heads(model, gone)
    assert find_body(model).heads == [4, 4, 4]


@pytest.mark.parametrize(
    ("drop", "choice", "reason"),
    [
        (drop_layers, [0, 1, 2], "would have no layers"),
        (drop_layers, [3], "number 3 is none of them"),
        (drop_heads, {1: [0, 1, 2, 3]}, "layer 1 would have no heads"),
        (drop_heads, {0: [4]}, "layer 0 has 4 heads, and number 4"),
        (drop_heads, {3: [0]}, "number 3 is none of them"),
        (drop_neurons, {0: range(24)}, "layer 0 would have no neurons"),
        (drop_neurons, {-1: [0]}, "number -1 is none of them"),
    ],
)
def test_what_cannot_be_dropped_is_refused_before_anything_changes(make_model, drop, choice, reason):
    model = make_model("bert")
    before = size(model)
    with pytest.raises(ConfigError, match=reason):
        drop(model, choice)
    assert size(model) == before


def test_other_models_are_refused_by_name(make_model):
    with pytest.raises(ConfigError, match="GPT2Model has 0 stacks"):
        drop_layers(make_model("bert", name="GPT2Model", n_embd=8, n_layer=1, n_head=2), [0])
    with pytest.raises(ConfigError, match="T5ForConditionalGeneration has a decoder"):
        drop_layers(make_model("t5", name="T5ForConditionalGeneration"), [0])
    with pytest.raises(ConfigError, match="Linear has 0 stacks"):
        drop_layers(torch.nn.Linear(2, 2), [0])


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(make_model, value):
    model = make_model("bert")
    model.encoder.layer[1].output.LayerNorm.bias.data[0] = value
    with pytest.raises(ConfigError, match=r"encoder.layer.1.output.LayerNorm.bias holds NaN or infinite"):
        drop_layers(model, [0])


def test_frozen_weights_stay_frozen(make_model):
    model = make_model("bert").requires_grad_(False)
    drop_neurons(model, {0: [0]})
    drop_heads(model, {0: [0]})
    assert not any(value.requires_grad for value in model.parameters())
