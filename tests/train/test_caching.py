from functools import partial

import pytest
import torch

from twofold.train import cached_backward, contrastive

mild = partial(contrastive, temperature=1.0)


def module_of():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Dropout(0.5), torch.nn.Linear(6, 4))


def grads(module):
    return [value.grad.clone() for value in module.parameters()]


def data(rows):
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(rows))


def test_the_gradient_is_that_of_the_whole_batch():
    module, anchors, positives = module_of().eval(), data(7), data(8)[:7]
    loss = mild(module(anchors), module(positives))
    loss.backward()
    expected = grads(module)
    module.zero_grad()
    found = cached_backward(module, [anchors.split(2), positives.split(3)], mild)
    assert found == pytest.approx(loss.item(), rel=1e-6)
    for left, right in zip(grads(module), expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-6)


def test_dropout_is_the_same_both_times():
    module, anchors, positives = module_of().train(), data(7), data(8)[:7]
    torch.manual_seed(5)
    parts = [*anchors.split(2), *positives.split(3)]
    vectors = [module(part) for part in parts]
    loss = mild(torch.cat(vectors[:4]), torch.cat(vectors[4:]))
    loss.backward()
    expected, after = grads(module), torch.get_rng_state()
    module.zero_grad()
    torch.manual_seed(5)
    cached_backward(module, [anchors.split(2), positives.split(3)], mild)
    assert torch.equal(torch.get_rng_state(), after)
    for left, right in zip(grads(module), expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-6)


def test_a_batch_of_one_part_is_encoded_once():
    module, calls = module_of().eval(), []

    def encode(part):
        calls.append(len(part))
        return module(part)

    cached_backward(encode, [[data(3)], [data(4)[:3]]], contrastive)
    assert calls == [3, 3]
    calls.clear()
    cached_backward(encode, [data(3).split(2), [data(4)[:3]]], contrastive)
    assert calls == [2, 1, 3] * 2


def test_the_loss_may_have_parameters_of_its_own():
    module, scale = module_of().eval(), torch.tensor(0.5, requires_grad=True)
    cached_backward(module, [data(4).split(2), data(4).split(2)], lambda a, b: contrastive(a, b, temperature=scale))
    assert scale.grad.item() != 0
