"""Attention rollout against its recurrence, written out from what goes into each attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xattnmask import SettingError
from xattnmask.methods.rollout import Rollout

POSITIONS, TOKENS = 10, 5


def attribute(model, sound, **settings):
    return Rollout().attribute(model, sound, seed=0, on_step=lambda event: None, **settings)


@torch.no_grad()
def attentions(model, sound):
    """In float64, by layer: self-attention [positions, positions] and cross-attention [positions, tokens]."""
    inputs, handles = [], []
    for layer in model.backbone.layers:
        for module in (layer.own, layer.cross):
            handles.append(module.register_forward_hook(lambda module, args, _: inputs.append((module, args[0][0]))))
    model.replay(sound)
    for handle in handles:
        handle.remove()
    text, found = model.text(sound.tokens)[0].double(), []
    for index, (module, x) in enumerate(inputs):
        x, own = x.double(), index % 2 == 0
        scores = module.double().q(x) @ module.k(x if own else text).T / 4
        module.float()
        if own:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf"))
        found.append(torch.softmax(scores, -1).numpy())
    return list(zip(found[::2], found[1::2], strict=True))


@pytest.mark.parametrize("residual", [0.5, 0.2])
def test_it_is_the_recurrence_over_layers(toy_model, sound, residual):
    whole = np.zeros((POSITIONS + TOKENS, POSITIONS + TOKENS))  # rows and columns: positions, then tokens
    whole[range(POSITIONS + TOKENS), range(POSITIONS + TOKENS)] = 1
    for own, cross in attentions(toy_model, sound):
        for attention in (np.pad(own, ((0, 0), (0, TOKENS))), np.pad(cross, ((0, 0), (POSITIONS, 0)))):
            step = np.eye(POSITIONS + TOKENS)
            step[:POSITIONS] = residual * step[:POSITIONS] + (1 - residual) * attention
            whole = step @ whole
    found = attribute(toy_model, sound, residual=residual)
    np.testing.assert_allclose(found.importance, whole[:POSITIONS, POSITIONS:], atol=1e-6)
    assert found.settings == {"residual": residual, "depth": "cross"} and found.importance.dtype == np.float32
    np.testing.assert_allclose(whole.sum(1), 1)  # all that flows in comes from somewhere


def test_no_residual_path_is_the_last_layers_attention(toy_model, sound):
    found = attribute(toy_model, sound, residual=0.0)
    np.testing.assert_allclose(found.importance, attentions(toy_model, sound)[-1][1], atol=1e-6)


def test_wrong_settings(toy_model, sound):
    with pytest.raises(SettingError, match="residual must be a number from 0 to 1"):
        Rollout().steps(residual=1.5)
    with pytest.raises(SettingError, match="no site has a role among"):
        attribute(toy_model, sound, depth="encoder")
    with pytest.raises(SettingError, match="no setting 'layers'"):
        Rollout().steps(layers="last")
