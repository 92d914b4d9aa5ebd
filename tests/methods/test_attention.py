"""Mean attention against the softmax written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xattnmask import SettingError
from xattnmask.methods.attention import MeanAttention


def attribute(model, sound, **settings):
    return MeanAttention().attribute(model, sound, seed=0, on_step=lambda event: None, **settings)


@torch.no_grad()
def by_hand(model, sound):
    """Attention of each layer [positions, tokens], from what goes into each cross-attention."""
    inputs, found = [], []
    for layer in model.backbone.layers:
        handle = layer.cross.register_forward_hook(lambda module, args, output: inputs.append((module, args[0][0])))
        found.append(handle)
    model.replay(sound)
    for handle in found:
        handle.remove()
    text = model.text(sound.tokens)[0]
    return [torch.softmax(module.q(x) @ module.k(text).T / 4, -1).numpy() for module, x in inputs]


def test_it_is_the_mean_over_layers(toy_model, sound):
    expected = by_hand(toy_model, sound)
    found = attribute(toy_model, sound)
    np.testing.assert_allclose(found.importance, np.mean(expected, axis=0), atol=1e-6)
    assert found.importance.dtype == np.float32 and found.settings == {"layers": "all"}
    assert found.converged is None and not found.losses
    np.testing.assert_allclose(attribute(toy_model, sound, layers=[1]).importance, expected[1], atol=1e-6)


def test_steps_and_wrong_settings(toy_model, sound):
    assert MeanAttention().steps() == 1
    for call in (MeanAttention().steps, lambda **settings: attribute(toy_model, sound, **settings)):
        with pytest.raises(SettingError, match="no setting 'steps'"):
            call(steps=3)
    with pytest.raises(SettingError, match="unknown layers"):
        attribute(toy_model, sound, layers=[5])
