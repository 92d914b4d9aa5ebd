"""Attention times gradient and Grad-CAM against one backward for each position through the toy written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from xattnmask import SettingError
from xattnmask.methods.attention_gradient import AttentionGradient
from xattnmask.methods.grad_cam import GradCam

POSITIONS = 10


def attribute(method, model, sound, **settings):
    return method.attribute(model, sound, seed=0, on_step=lambda event: None, **settings)


def linear(layer, x):
    return x @ layer.weight.double().T + layer.bias.double()


@torch.no_grad()
def inputs_of(model, sound):
    """What goes into each layer's self-attention in the clean pass, float64 [positions, width]."""
    found, handles = [], []
    for layer in model.backbone.layers:
        handles.append(layer.own.register_forward_hook(lambda module, args, _: found.append(args[0][0].double())))
    model.replay(sound)
    for handle in handles:
        handle.remove()
    return found


def position(model, sound, t, past, reading=True):
    """The state of position ``t`` in float64, and its cross-attention by layer [1, tokens], as nodes of its graph.

    It sees of its past what went into each layer's self-attention, ``past``; without ``reading`` it sees no token.
    """
    text, x, read = model.text(sound.tokens)[0].double(), sound.replay["noise"][0, t : t + 1].double(), []
    for layer, inputs in zip(model.backbone.layers, past, strict=True):
        own, cross = layer.own, layer.cross
        seen = torch.cat([inputs[:t], x])
        weights = torch.softmax(linear(own.q, x) @ linear(own.k, seen).T / 4, -1)
        x = x + linear(own.o, weights @ linear(own.v, seen))
        attention = torch.softmax(linear(cross.q, x) @ linear(cross.k, text).T / 4, -1)
        if not attention.requires_grad:
            attention.requires_grad_()
        read.append(attention)
        x = x + 3 * linear(cross.o, reading * attention @ linear(cross.v, text))
    return layer_norm(x, (16,))[0], read


def by_hand(model, sound, context, reduce):
    """Importance by layer, [layers, positions, tokens]; ``reduce`` takes attention and gradient [tokens]."""
    past, rows = inputs_of(model, sound), []
    if context == "none":
        past = [inputs[:0] for inputs in past]
    model.backbone.requires_grad_(False)
    for t in range(POSITIONS):
        state, read = position(model, sound, t, past)
        blank = position(model, sound, t, past, reading=False)[0].detach()
        way = (state - blank).detach()
        score = (state - blank) @ way / way.norm() / state.detach().norm()
        gradients = torch.autograd.grad(score, read)
        rows.append([reduce(a.detach()[0].numpy(), g[0].numpy()) for a, g in zip(read, gradients, strict=True)])
    return np.stack(rows, axis=1)


def whole(model, sound, reading=True):
    """As ``position``, of all positions with a past that changes with them: [positions, width], [positions, tokens]."""
    x, text, read = sound.replay["noise"][0].double(), model.text(sound.tokens)[0].double(), []
    later = torch.ones(POSITIONS, POSITIONS).triu(1).bool()
    for layer in model.backbone.layers:
        own, cross = layer.own, layer.cross
        scores = linear(own.q, x) @ linear(own.k, x).T / 4
        x = x + linear(own.o, torch.softmax(scores.masked_fill(later, float("-inf")), -1) @ linear(own.v, x))
        attention = torch.softmax(linear(cross.q, x) @ linear(cross.k, text).T / 4, -1)
        if not attention.requires_grad:
            attention.requires_grad_()
        read.append(attention)
        x = x + 3 * linear(cross.o, reading * attention @ linear(cross.v, text))
    return layer_norm(x, (16,)), read


def product(attention, gradient):
    return np.maximum(attention * gradient, 0)


def cam(attention, gradient):
    return np.maximum(gradient.mean() * attention, 0)


@pytest.mark.parametrize("context", ["none", "frozen"])
@pytest.mark.parametrize(("method", "reduce"), [(AttentionGradient(), product), (GradCam(), cam)])
def test_each_position_has_its_own_gradient(toy_model, sound, context, method, reduce):
    expected = by_hand(toy_model, sound, context, reduce)
    assert expected.max() > 1e-3
    found = attribute(method, toy_model, sound, context=context, layers="all")
    np.testing.assert_allclose(found.importance, expected.mean(0), atol=1e-6)
    assert found.importance.dtype == np.float32 and found.settings == {"context": context, "layers": "all"}
    one = attribute(method, toy_model, sound, context=context, layers=[1])
    np.testing.assert_allclose(one.importance, expected[1], atol=1e-6)


def test_where_the_past_changes_a_position_has_the_gradient_of_all_later_states(toy_model, sound):
    toy_model.backbone.requires_grad_(False)
    (states, read), blank = whole(toy_model, sound), whole(toy_model, sound, reading=False)[0].detach()
    way = (states - blank).detach()
    scores = ((states - blank) * way).sum(1) / way.norm(dim=1) / states.detach().norm(dim=1)
    gradients = torch.autograd.grad(scores.sum(), read)
    expected = [product(a.detach().numpy(), g.numpy()) for a, g in zip(read, gradients, strict=True)]
    found = attribute(AttentionGradient(), toy_model, sound, context="joint")
    np.testing.assert_allclose(found.importance, np.mean(expected, 0), atol=1e-6)


def test_defaults(toy_model, sound):
    assert attribute(AttentionGradient(), toy_model, sound).settings == {"context": "frozen", "layers": "all"}
    assert attribute(GradCam(), toy_model, sound).settings == {"context": "frozen", "layers": "last"}


def test_heads():
    """Positive parts before the mean over heads; for Grad-CAM heads weighed by gradients meaned over tokens."""
    numbers = np.random.default_rng(0)
    attention, gradient = numbers.random((1, 3, 4, 5)), numbers.normal(size=(1, 3, 4, 5))
    tensors = [torch.tensor(values) for values in (attention, gradient)]
    product = np.maximum(attention * gradient, 0).mean(1)[0]
    np.testing.assert_allclose(AttentionGradient().reduce(*tensors, lambda values: values[0]), product)
    weight = gradient.mean(-1)[0]  # [heads, positions]
    maps = sum(weight[head][:, None] * attention[0, head] for head in range(3))
    np.testing.assert_allclose(GradCam().reduce(*tensors, lambda values: values[0]), np.maximum(maps, 0))


def test_weights_hooks_and_grad_mode_are_left_as_they_were(toy_model, sound, monkeypatch):
    weights = [weight for weight in toy_model.backbone.parameters() if weight.requires_grad]
    assert weights
    for fails in (False, True):
        if fails:
            monkeypatch.setattr(AttentionGradient, "reduce", lambda *_: 1 / 0)
        with torch.no_grad():
            try:
                attribute(AttentionGradient(), toy_model, sound)
            except ZeroDivisionError:
                assert fails
            assert not torch.is_grad_enabled()
        assert all(weight.requires_grad and weight.grad is None for weight in weights)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in toy_model.backbone.modules())


def test_wrong_settings(toy_model, sound):
    with pytest.raises(SettingError, match="context must be one of none, frozen, joint, not 'isolated'"):
        attribute(GradCam(), toy_model, sound, context="isolated")
    with pytest.raises(SettingError, match="unknown layers"):
        attribute(AttentionGradient(), toy_model, sound, layers=[7])
    with pytest.raises(SettingError, match="method 'grad-cam' has no setting 'layer'; did you mean layers"):
        GradCam().steps(layer=1)
