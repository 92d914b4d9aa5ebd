"""Masks in diffusion models: exact at one, at work at zero, by step, by time, in the conditional rows alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask import SettingError
from xattnmask.patching import patch_steps

from .conftest import KEYS, PROMPT, close

STEPS = 4


@pytest.fixture
def made(models):
    def make(key, prompt=PROMPT, **settings):
        model = models(key)
        return model, model.generate(prompt, seed=3, duration=0.6, **{"steps": STEPS, **settings})

    return make


def predicted(model, generation, **arguments):
    with torch.no_grad():
        return model.denoise(generation, range(STEPS), **arguments).prediction


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_ones_change_nothing_and_zeros_something(made, key, guidance):
    model, generation = made(key, guidance=guidance)
    tokens = len(generation.tokens)
    for mask in (torch.ones(1, tokens), torch.ones(1, 5, tokens)):
        with xm.patch(model, mask):
            assert close(model.regenerate(generation).audio, generation.audio, 1e-4)
    for mask in (torch.zeros(1, tokens), torch.zeros(1, 5, tokens)):
        with xm.patch(model, mask):
            assert not close(model.regenerate(generation).audio, generation.audio, 1e-2)
    assert np.array_equal(model.regenerate(generation).audio, generation.audio)


@pytest.mark.parametrize("key", KEYS)
def test_each_row_has_its_own_mask(made, key):
    model, generation = made(key)
    tokens = len(generation.tokens)
    clean = predicted(model, generation)[0]
    masks = torch.ones(STEPS, tokens)
    masks[2] = 0
    with xm.patch(model, masks):
        found = predicted(model, generation)[0]
    others = [0, 1, 3]
    assert close(found[others], clean[others])
    assert not close(found[2], clean[2], 1e-3)


@pytest.mark.parametrize("key", KEYS)
def test_a_gradient_reaches_every_token_of_the_prompt(made, key):
    model, generation = made(key)
    mask = torch.full((STEPS, len(generation.tokens)), 0.5, requires_grad=True)
    with xm.patch(model, mask):
        model.denoise(generation, range(STEPS)).prediction.square().mean().backward()
    worded = [k for word in generation.words for k in word.tokens]
    assert (mask.grad[:, worded].abs() > 0).all()


@pytest.mark.parametrize("key", KEYS)
def test_the_unconditional_rows_are_left_alone(made, key):
    model, generation = made(key)
    seen: list[torch.Tensor] = []
    handle = model.denoiser.register_forward_hook(lambda module, args, output: seen.append(output[0].chunk(2)[0]))
    model.regenerate(generation)
    with xm.patch(model, torch.zeros(1, len(generation.tokens))):
        model.regenerate(generation)
    handle.remove()
    assert close(seen[0], seen[STEPS])


@pytest.mark.parametrize("key", KEYS)
def test_masks_by_step(made, key):
    """All ones change nothing; zeros at one step leave all before it as it was, and nothing after."""
    model, generation = made(key)
    masks, latents = torch.ones(STEPS, len(generation.tokens)), generation.replay["latents"]
    with patch_steps(model, masks, range(STEPS)):
        assert close(model.regenerate(generation).audio, generation.audio, 1e-4)
    masks[1] = 0
    with patch_steps(model, masks, range(STEPS)):
        found = model.regenerate(generation).replay["latents"]
    assert close(found[:2], latents[:2])
    assert not close(found[2], latents[2], 1e-3)


@pytest.mark.parametrize("key", ["audioldm2", "stable-audio", "stable-audio-3"])
def test_masks_by_time_act_in_their_own_time(made, key):
    """Without self-attention and convolution a mask over the last third would leave the first; with them, nearly."""
    model, generation = made(key)
    tokens, columns = len(generation.tokens), len(generation.positions)
    clean = predicted(model, generation)[0]
    late = torch.ones(STEPS, 3, tokens)
    late[:, 2] = 0
    with xm.patch(model, late, streams=["t5"]):
        change = (predicted(model, generation)[0] - clean).abs().mean((0, 2))
    third = columns // 3
    assert change[-third:].mean() > 2 * change[:third].mean()


@pytest.mark.parametrize("key", ["audioldm", "audioldm2", "musicldm"])
def test_a_word_at_zero_is_gone(made, key):
    """Whatever stands in its place, the model predicts the same: nothing leaks past the text encoders' sites."""
    predictions = []
    for prompt in (PROMPT, PROMPT.replace("dog", "a")):  # both words are one token, for every tokenizer here
        model, generation = made(key, prompt)
        mask = torch.ones(1, len(generation.tokens))
        mask[:, list(generation.words[1].tokens)] = 0
        roles = sorted({site.role for site in model.sites(len(generation.tokens))} - {"summary"})
        same = replace(generation, replay={**generation.replay, "latents": torch.ones(STEPS, 4, 15, 4)})
        clean = predicted(model, same)
        with xm.patch(model, mask, rule="bias", roles=roles):
            predictions.append((clean, predicted(model, same)))
    (first, masked), (second, again) = predictions
    assert not close(first, second, 1e-3) and close(masked, again)


def test_the_words_of_audioldm2_take_three_ways(made):
    model, generation = made("audioldm2")
    clean, mask = predicted(model, generation), torch.zeros(1, len(generation.tokens))
    for stream in ("t5", "gpt2", "clap"):
        with xm.patch(model, mask, streams=[stream]):
            assert not close(predicted(model, generation), clean, 1e-4), stream


def test_the_nearest_step_has_its_mask(made):
    model, _ = made("audioldm2")
    found = []
    with model.masking_by_step([1, 5]):
        for model.step in (0, 2, 4, 9):
            found.append(model.mask_in_force)
    model.step = 0
    assert found == [0, 0, 1, 1] and not model.encodes_anew
    for steps in ([], [2, 1], [1, 1], [-1]):
        with pytest.raises(SettingError, match="steps must be counted from 0 and ascend"), model.masking_by_step(steps):
            pass


@pytest.mark.parametrize("key", ["audioldm2", "audioldm"])
def test_the_text_is_encoded_once_for_each_mask(made, key, monkeypatch):
    model, generation = made(key)
    calls, encode = [], type(model).encode_text
    monkeypatch.setattr(type(model), "encode_text", lambda *args: calls.append(model.step) or encode(*args))
    with patch_steps(model, torch.ones(2, len(generation.tokens)), [0, STEPS - 1]):
        model.regenerate(generation)
    assert [step for step in calls if step] == [2]  # the first from which the last step's mask is the nearest
