"""Text that is encoded apart for stretches of the audio: exact where it must be, in time elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask import SettingError
from xattnmask.patching import patch_steps

from .conftest import PROMPT, close

KEYS = ["audioldm2", "stable-audio", "stable-audio-3"]
ROLES = ("cross", "text-encoder")
STEPS = 3


@pytest.fixture
def made(models):
    def make(key, **settings):
        model = models(key)
        return model, model.generate(PROMPT, seed=3, duration=0.6, steps=STEPS, **settings)

    return make


def predicted(model, generation, mask, **settings):
    with torch.no_grad(), xm.patch(model, mask, roles=ROLES, **settings):
        return model.denoise(generation, range(STEPS)).prediction[0]


def some_mask(generation, *shape):
    return torch.rand(*shape, len(generation.tokens), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_a_mask_that_is_the_same_at_all_times_is_that_of_one_text(made, key, rule):
    model, generation = made(key)
    mask = some_mask(generation, STEPS)
    expected = predicted(model, generation, mask, rule=rule)
    found = predicted(model, generation, mask[:, None].repeat(1, 4, 1), rule=rule, text_stretches=2)
    assert close(found, expected)
    assert model.texts == 1


@pytest.mark.parametrize("key", KEYS)
def test_each_moment_hears_the_text_of_its_own_stretch(made, key):
    """Where text is heard first, each half hears what it would if the whole were under its own half of the mask."""
    model, generation = made(key)
    halves = some_mask(generation, STEPS, 2)
    shared = predicted(model, generation, halves)
    apart = predicted(model, generation, halves, text_stretches=2)
    assert not close(apart, shared, 1e-4)
    states = [_first_site(model, generation, halves[:, [half]], text_stretches=1) for half in (0, 1)]
    both = _first_site(model, generation, halves, text_stretches=2)
    half = _queries(model, both.shape[1])
    for number in (0, 1):
        assert close(both[:, half == number], states[number][:, half == number])


def _first_site(model, generation, mask, **settings):
    """What the attention on text that the denoiser comes to first gives, [rows, queries, width]."""
    sites = model.sites(len(generation.tokens))
    site = min((s for s in sites if s.role in ("cross", "summary")), key=lambda site: site.role != "summary")
    seen = []
    hook = model.backbone.get_submodule(site.path).register_forward_hook(lambda m, args, output: seen.append(output))
    try:
        with torch.no_grad(), xm.patch(model, mask.contiguous(), roles=ROLES, **settings):
            model.denoise(generation, range(STEPS))
    finally:
        hook.remove()
    return seen[0]


def _queries(model, count):
    site = next(site for site in model.sites(1) if site.role == "cross")
    places = np.asarray(site.places(count), dtype=float)
    return torch.from_numpy(np.where(np.isnan(places), -1, np.floor(np.nan_to_num(places).clip(0, 0.999) * 2)))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_regenerated_sounds(made, key, guidance):
    """All ones make the same sound; and a mask that is the same at all times that of one text."""
    model, generation = made(key, guidance=guidance)
    ones = torch.ones(1, 4, len(generation.tokens))
    with xm.patch(model, ones, roles=ROLES, text_stretches=2):
        assert close(model.regenerate(generation).audio, generation.audio, 1e-4)
    mask = some_mask(generation, STEPS)
    with patch_steps(model, mask, range(STEPS), roles=ROLES):
        expected = model.regenerate(generation).replay["latents"]
    with patch_steps(model, mask[:, None].repeat(1, 4, 1), range(STEPS), roles=ROLES, text_stretches=2):
        found = model.regenerate(generation).replay["latents"]
    assert close(found, expected, 1e-4)
    assert not close(found[-1], generation.replay["latents"][-1], 1e-3)
    assert np.array_equal(model.regenerate(generation).audio, generation.audio)


@pytest.mark.parametrize("key", KEYS)
def test_gradients_reach_the_stretch_they_are_of(made, key):
    model, generation = made(key)
    mask = torch.full((STEPS, 4, len(generation.tokens)), 0.5, requires_grad=True)
    with xm.patch(model, mask, roles=ROLES, text_stretches=4):
        model.denoise(generation, range(STEPS)).prediction.square().mean().backward()
    worded = [k for word in generation.words for k in word.tokens]
    assert (mask.grad[:, :, worded].abs() > 0).all()


def test_one_mask_serves_all_waveforms(made):
    model, generation = made("audioldm2", waveforms=2, waveform=1)
    ones = torch.ones(1, 4, len(generation.tokens))
    with xm.patch(model, ones, roles=ROLES, text_stretches=2):
        assert close(model.regenerate(generation).audio, generation.audio, 1e-4)


def test_explicit_attention_reads_its_own_text_too(made):
    """With diffusers' older processor, which writes the softmax out."""
    from diffusers.models.attention_processor import AttnProcessor

    model, generation = made("audioldm2")
    mask = some_mask(generation, STEPS, 4)
    expected = predicted(model, generation, mask, text_stretches=2)
    before = model.denoiser.attn_processors
    model.denoiser.set_attn_processor(AttnProcessor())
    try:
        assert close(predicted(model, generation, mask, text_stretches=2), expected)
    finally:
        model.denoiser.set_attn_processor(before)


def test_nesting(made):
    """A mask that all rows and queries share may be on already; none may be put on top."""
    model, generation = made("audioldm2")
    tokens, mask = len(generation.tokens), some_mask(generation, 1)
    expected = predicted(model, generation, mask)
    with xm.patch(model, mask, roles=ROLES):
        found = predicted(model, generation, torch.ones(STEPS, 2, tokens), text_stretches=2)
    assert close(found, expected)
    with xm.patch(model, torch.ones(STEPS, 2, tokens), roles=ROLES, text_stretches=2, strict=False):
        for settings in ({}, {"text_stretches": 2}):
            with pytest.raises(SettingError, match="do not nest"):
                predicted(model, generation, torch.ones(STEPS, 2, tokens), **settings)
    assert model.texts == 1


def test_models_that_hear_one_text(made):
    model, generation = made("audioldm")
    ones = torch.ones(1, 4, len(generation.tokens))
    with pytest.raises(SettingError, match="once for the whole clip"), xm.patch(model, ones, text_stretches=2):
        pass
    with pytest.raises(SettingError, match="once for the whole clip"):
        xm.explain(model, generation, method="leave-one-out", text_stretches=2)
    assert xm.explain(model, generation, steps=1).settings["text_stretches"] == 1


@pytest.mark.parametrize("wrong", [0, 1.5, True, "2"])
def test_a_wrong_number(made, wrong):
    model, generation = made("audioldm2")
    with pytest.raises(SettingError, match="text_stretches"):
        xm.explain(model, generation, steps=1, text_stretches=wrong)


def test_explanations_are_made_and_heard_with_them(made):
    model, generation = made("audioldm2")
    explanation = xm.explain(model, generation, steps=1)
    assert explanation.settings["text_stretches"] == 5
    found = xm.regenerate(model, generation, explanation)
    with patch_steps(model, explanation.step_time_importance, range(STEPS), roles=ROLES, text_stretches=5):
        assert np.array_equal(found["factual"], model.regenerate(generation).audio)
    cross = xm.explain(model, generation, steps=1, depth="cross")
    assert cross.settings["text_stretches"] == 1
