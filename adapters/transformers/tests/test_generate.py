"""Generation: seeds, settings, limits, and what it leaves behind."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from xattnmask.errors import NumericalError, PromptError, SettingError

from .conftest import MusicGen, save_musicgen

PROMPT = "a dog barks"


def test_the_seed_decides(model):
    first, again, other = (model.generate(PROMPT, seed=s, duration=0.8) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.audio, again.audio)
    assert not torch.equal(first.replay["codes"], other.replay["codes"])


def test_regenerate_repeats(model):
    generation = model.generate(PROMPT, seed=5, duration=0.8, guidance=2.0, temperature=0.7, top_k=4)
    assert json.loads(json.dumps(generation.settings)) == {
        "duration": 0.8, "guidance": 2.0, "temperature": 0.7, "top_k": 4, "do_sample": True}
    np.testing.assert_array_equal(model.regenerate(generation).audio, generation.audio)
    assert not np.array_equal(model.regenerate(generation, seed=6).audio, generation.audio)


def test_global_random_states_are_left_alone(model):
    before, python = torch.get_rng_state(), random.getstate()
    model.generate(PROMPT, duration=0.4)
    assert torch.equal(before, torch.get_rng_state()) and python == random.getstate()


def test_text_and_guidance_matter(model):
    one, two = (model.generate(p, duration=0.8, guidance=3.0) for p in (PROMPT, "a siren wails then a dog"))
    assert not torch.equal(one.replay["codes"], two.replay["codes"])
    weak = model.generate(PROMPT, duration=0.8, guidance=1.0)
    assert not torch.equal(one.replay["codes"], weak.replay["codes"])


def test_a_checkpoints_own_sampling_defaults_do_not_leak_in(model):
    expected = model.generate(PROMPT, duration=0.8)
    original = model.backbone.generation_config
    model.backbone.generation_config = GenerationConfig(
        guidance_scale=7.0, top_k=1, temperature=0.1, do_sample=True, eos_token_id=3, max_length=5,
        decoder_start_token_id=16, pad_token_id=16, bos_token_id=16)
    try:
        np.testing.assert_array_equal(model.generate(PROMPT, duration=0.8).audio, expected.audio)
    finally:
        model.backbone.generation_config = original


def test_conditional_rows(model):
    assert model.conditional_rows(4) == slice(0, 4)
    seen = {}

    def watch(name):
        def hook(module, args, kwargs):
            batch = (args[0] if args else kwargs["hidden_states"]).shape[0]
            seen.setdefault(name, set()).add((batch, model.conditional_rows(batch).stop))
        return hook

    modules = {site.role: site.path for site in model.sites(3)}
    hooks = [model.backbone.get_submodule(path).register_forward_pre_hook(watch(role), with_kwargs=True)
             for role, path in modules.items()]
    try:
        model.generate(PROMPT, duration=0.4, guidance=3.0)
        guided, seen = seen, {}
        model.generate(PROMPT, duration=0.4, guidance=1.0)
    finally:
        for hook in hooks:
            hook.remove()
    assert guided == {role: {(1, 1)} if role == "text-encoder" else {(2, 1)} for role in modules}
    assert seen == {role: {(1, 1)} for role in modules}
    assert model.conditional_rows(4) == slice(0, 4)


def test_guidance_flag_is_reset_after_an_error(musicgen, monkeypatch):
    monkeypatch.setattr(musicgen.backbone, "generate", lambda **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        musicgen.generate(PROMPT, duration=0.4)
    assert musicgen.conditional_rows(2) == slice(0, 2)


@pytest.mark.parametrize("settings", [
    {"duration": 0}, {"duration": -1.0}, {"duration": 4.01}, {"duration": 0.01}, {"guidance": 0.5},
    {"temperature": 0.0}, {"top_k": -1}, {"duration": float("nan")}, {"guidance": float("nan")},
    {"temperature": float("nan")}, {"top_k": 2.5}, {"tempo": 3},
])
def test_settings_out_of_range(musicgen, settings):
    with pytest.raises(SettingError):
        musicgen.generate(PROMPT, **settings)


@pytest.mark.parametrize("prompt", ["", "  \n", "dog" + " dog" * 39])
def test_bad_prompts(musicgen, prompt):
    with pytest.raises(PromptError, match=r"empty|41 tokens"):
        musicgen.generate(prompt)


@pytest.mark.parametrize("do_sample", [True, False])
def test_nan_is_reported_with_its_step(musicgen, do_sample):
    weight = musicgen.backbone.decoder.lm_heads[0].weight
    kept = weight[0, 0].item()
    weight[0, 0] = float("nan")
    try:
        with pytest.raises(NumericalError, match="step 0"):
            musicgen.generate(PROMPT, duration=0.4, do_sample=do_sample)
    finally:
        weight[0, 0] = kept


def test_longest_and_shortest(musicgen):
    assert musicgen.max_duration == pytest.approx(4.0) and musicgen.max_tokens == 24
    assert len(musicgen.generate(PROMPT, duration=4.0).times) == 101
    assert len(musicgen.generate(PROMPT, duration=0.12).times) == 4


def test_default_longest(tmp_path):
    assert MusicGen.from_checkpoint(str(save_musicgen(tmp_path, max_length=None))).max_duration == pytest.approx(30.0)
