"""Editing the toy, whose text has no positions: weight 0 is a prompt without the word, 2 one that has it twice."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

import xattnmask
from xattnmask import SettingError, WordEdit, edit, patch
from xattnmask.patching import MAX_WEIGHT, reweigh


def made(model, prompt):
    return model.generate(prompt, seed=1, duration=0.4).audio


def test_without_edits_it_is_the_same_sound(toy_model, sound):
    for edits in ({}, [], {"dog": 1.0}):
        np.testing.assert_allclose(edit(toy_model, sound, edits).audio, sound.audio, atol=1e-6)


def test_a_word_at_0_was_never_said(toy_model, sound):
    found = edit(toy_model, sound, {"dog": 0.0})
    np.testing.assert_allclose(found.audio, made(toy_model, "a barks loudly"), atol=1e-5)
    assert not np.allclose(found.audio, sound.audio, atol=1e-3)
    assert (found.prompt, found.seed, dict(found.settings)) == (sound.prompt, sound.seed, dict(sound.settings))


def test_a_word_at_2_was_said_twice(toy_model, sound):
    np.testing.assert_allclose(edit(toy_model, sound, {"dog": 2.0}).audio, made(toy_model, "a dog dog barks loudly"),
                               atol=1e-5)


def test_several_words_at_once(toy_model, sound):
    found = edit(toy_model, sound, {"a": 0.0, "barks": 3.0})
    np.testing.assert_allclose(found.audio, made(toy_model, "dog barks barks barks loudly"), atol=1e-5)


def test_a_stretch_leaves_what_came_before(toy_model, sound):
    whole = edit(toy_model, sound, {"dog": 0.0}).audio.reshape(10, -1)
    found = edit(toy_model, sound, [WordEdit("dog", 0.0, 0.2, 0.4)]).audio.reshape(10, -1)
    before = sound.audio.reshape(10, -1)
    np.testing.assert_allclose(found[:5], before[:5], atol=1e-6)
    assert (np.abs(found[5:] - before[5:]).max(1) > 1e-4).all()
    assert not np.allclose(found[5:], whole[5:], atol=1e-4)  # its past is another


def test_the_rule_scale_takes_away_without_making_up(toy_model, sound):
    scaled = edit(toy_model, sound, {"dog": 0.0}, rule="scale").audio
    mask = torch.ones(1, 5)
    mask[0, 1] = 0
    with patch(toy_model, mask, rule="scale"):
        np.testing.assert_allclose(scaled, toy_model.regenerate(sound).audio, atol=1e-6)
    assert not np.allclose(scaled, edit(toy_model, sound, {"dog": 0.0}).audio, atol=1e-3)


def test_the_model_is_left_as_it_was(toy_model, sound):
    edit(toy_model, sound, {"dog": 0.0})
    with pytest.raises(SettingError):
        edit(toy_model, sound, {"cat": 0.0})
    np.testing.assert_array_equal(toy_model.regenerate(sound).audio, sound.audio)


@pytest.mark.parametrize(("changes", "arguments", "told"), [
    ({"model": "other"}, {}, "made by model 'other', not by 'toy'"),
    ({"encoded": True}, {}, "did not make this sound"),
    ({}, {"rule": "multiply"}, "rule must be"),
    ({}, {"depth": "deep"}, "depth must be one of cross, encoder"),
])
def test_what_cannot_be_edited(toy_model, sound, changes, arguments, told):
    with pytest.raises(SettingError, match=told):
        edit(toy_model, replace(sound, **changes), {"dog": 0.0}, **arguments)


def test_the_limit_is_for_weights_and_masks_stay_in_0_to_1(toy_model):
    with reweigh(toy_model, torch.full((1, 5), MAX_WEIGHT), strict=False):
        pass
    with pytest.raises(SettingError, match=r"a weight lies in \[0, 4\]; this one spans 1 to 4.5"):
        reweigh(toy_model, torch.tensor([[1, 4.5]]))
    with pytest.raises(SettingError, match=r"a mask lies in \[0, 1\]; this one spans 1 to 1.5"):
        xattnmask.patch(toy_model, torch.tensor([[1, 1.5]]))


def test_a_text_encoder_takes_no_weight_above_1(monkeypatch, toy_model):
    seen = []
    monkeypatch.setattr("xattnmask.patching.applying.intercept",
                        lambda backbone, pairs, *_, **__: nullcontext(seen.extend(pairs)))
    sites = [*toy_model.sites(2), xattnmask.Site("words", 0, "text-encoder")]
    monkeypatch.setattr(type(toy_model), "sites", lambda self, num_tokens: sites)
    with reweigh(toy_model, torch.tensor([[0.5, 3.0]]), roles=("cross", "text-encoder")):
        pass
    masks = {site.role: intervention.mask.tolist() for site, intervention in seen}
    assert masks == {"cross": [[0.5, 3.0]], "text-encoder": [[0.5, 1.0]]}
