"""Leave-one-out against a loop that truly takes the keys away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from xattnmask import SettingError, Token, patch
from xattnmask.methods.leave_one_out import LeaveOneOut
from xattnmask.patching import no_history

TOKENS = 5


def attribute(model, sound, on_step=lambda event: None, **settings):
    return LeaveOneOut().attribute(model, sound, seed=0, on_step=on_step, **settings)


@torch.no_grad()
def test_removing_a_token_is_running_without_its_key(toy_model, sound):
    found = attribute(toy_model, sound, by="token", rule="bias")
    noise, text = sound.replay["noise"], toy_model.text(sound.tokens)
    clean = toy_model.backbone(noise, text)[0]
    for token in range(TOKENS):
        rest = [i for i in range(TOKENS) if i != token]
        distance = 1 - cosine_similarity(toy_model.backbone(noise, text[:, rest])[0], clean, dim=-1)
        np.testing.assert_allclose(found.importance[:, token], distance.numpy(), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 8])
@torch.no_grad()
def test_any_batch_equals_one_by_one(toy_model, sound, batch):
    found = attribute(toy_model, sound, by="token", batch=batch)
    clean = toy_model.replay(sound)[0]
    for token in range(TOKENS):
        mask = torch.ones(1, TOKENS)
        mask[0, token] = 0
        with patch(toy_model, mask):
            distance = 1 - cosine_similarity(toy_model.replay(sound)[0], clean, dim=-1)
        np.testing.assert_allclose(found.importance[:, token], distance.numpy(), atol=1e-5)


@torch.no_grad()
def test_without_history_it_compares_with_the_model_without_history(toy_model, sound):
    found = attribute(toy_model, sound, by="token", context="none")
    with no_history(toy_model, TOKENS):
        clean = toy_model.replay(sound)[0]
    mask = torch.ones(1, TOKENS)
    mask[0, 2] = 0
    with patch(toy_model, mask), no_history(toy_model, TOKENS):
        distance = 1 - cosine_similarity(toy_model.replay(sound)[0], clean, dim=-1)
    np.testing.assert_allclose(found.importance[:, 2], distance.numpy(), atol=1e-5)


def test_a_word_goes_with_all_its_tokens(toy_model, sound):
    """Cut "loudly" in two: both halves get what leaving out the whole word does, and the end token stands alone."""
    tokens = [*sound.tokens[:3], Token(5, "loud", 12, 16), Token(6, "ly", 16, 18), sound.tokens[-1]]
    sound = replace(sound, tokens=tuple(tokens))
    word, token = (attribute(toy_model, sound, by=by).importance for by in ("word", "token"))
    assert np.array_equal(word[:, 3], word[:, 4])
    assert not np.allclose(token[:, 3], token[:, 4], atol=1e-4)
    np.testing.assert_allclose(word[:, [0, 1, 2, 5]], token[:, [0, 1, 2, 5]], atol=1e-6)


def test_importance_is_never_negative_nor_learns(toy_model, sound):
    with torch.no_grad():  # a model that does not listen: all differences are rounding
        for layer in toy_model.backbone.layers:
            layer.cross.o.weight.zero_()
    found = attribute(toy_model, sound)
    assert found.importance.min() >= 0 and found.importance.max() < 1e-6
    assert found.converged is None and not found.losses


def test_events_count_the_batches(toy_model, sound):
    events = []
    attribute(toy_model, sound, batch=2, on_step=events.append)
    assert [(event.step, event.steps) for event in events] == [(0, 3), (1, 3), (2, 3)]


def test_wrong_settings(toy_model, sound):
    with pytest.raises(SettingError, match="did you mean batch"):
        LeaveOneOut().steps(bach=3)
    with pytest.raises(SettingError, match="by must be one of token, word"):
        attribute(toy_model, sound, by="sentence")
