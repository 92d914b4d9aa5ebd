"""Generation: what audiocraft itself makes, seeds, settings, limits, and what it leaves behind."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
import transformers

from xattnmask.errors import NumericalError, PromptError, SettingError

from .conftest import BOOKS, PROMPT


@pytest.mark.parametrize("settings", [
    {}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8}, {"use_sampling": False}, {"top_k": 0},
    {"two_step_cfg": True}, {"guidance": 1.0}, {"guidance": 2.5},
])
def test_codes_and_audio_are_audiocrafts_own(audiogen, known, settings):
    from audiocraft.models import AudioGen

    theirs = AudioGen.get_pretrained(str(known), device="cpu")
    given = {"top_k": 16, **settings}
    given["cfg_coef"] = given.pop("guidance", 3.0)
    theirs.set_generation_params(duration=0.8, **given)
    torch.manual_seed(5)
    audio, codes = theirs.generate([PROMPT], return_tokens=True)
    ours = audiogen.generate(PROMPT, seed=5, duration=0.8, **settings)
    assert torch.equal(ours.replay["codes"], codes[0])
    np.testing.assert_array_equal(ours.audio, audio[0, 0].numpy())


def test_musicgen_of_audiocraft_has_a_key_of_its_own(known):
    from audiocraft.models import MusicGen as Theirs
    from xattnmask_audiocraft.musicgen import MusicGen

    theirs = Theirs.get_pretrained(str(known), device="cpu")
    theirs.set_generation_params(duration=0.4, top_k=16)
    torch.manual_seed(2)
    audio = theirs.generate([PROMPT])
    ours = MusicGen.from_checkpoint(str(known)).generate(PROMPT, seed=2, duration=0.4)
    assert ours.model == "musicgen-audiocraft"
    np.testing.assert_array_equal(ours.audio, audio[0, 0].numpy())


@pytest.mark.parametrize("guidance", [1.0, 2.0, 6.0])
def test_guidance_is_the_same_in_one_call_and_in_two(model, guidance):
    """audiocraft's own two-step guidance would take the checkpoint's coefficient, whatever was asked for."""
    one, two = (model.generate(PROMPT, duration=0.8, guidance=guidance, use_sampling=False, two_step_cfg=two)
                for two in (False, True))
    assert torch.equal(one.replay["codes"], two.replay["codes"])
    assert model.backbone.cfg_coef == 3.0


def test_the_seed_decides(model):
    first, again, other = (model.generate(PROMPT, seed=s, duration=0.8) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.audio, again.audio)
    assert not torch.equal(first.replay["codes"], other.replay["codes"])


def test_regenerate_repeats(audiogen):
    settings = {"guidance": 2.0, "temperature": 0.7, "top_k": 4, "top_p": 0.0, "use_sampling": True,
                "two_step_cfg": True}
    generation = audiogen.generate(PROMPT, seed=5, duration=0.8, **settings)
    assert json.loads(json.dumps(generation.settings)) == {"duration": 0.8, **settings}
    np.testing.assert_array_equal(audiogen.regenerate(generation).audio, generation.audio)
    assert not np.array_equal(audiogen.regenerate(generation, seed=6).audio, generation.audio)


def test_global_random_states_are_left_alone(audiogen):
    before, python = torch.get_rng_state(), random.getstate()
    audiogen.generate(PROMPT, duration=0.4)
    assert torch.equal(before, torch.get_rng_state()) and python == random.getstate()


def test_text_and_guidance_matter(audiogen):
    one, two = (audiogen.generate(p, duration=0.8) for p in ("a dog barks", "a siren wails then a dog"))
    weak = audiogen.generate("a dog barks", duration=0.8, guidance=1.0)
    assert not torch.equal(one.replay["codes"], two.replay["codes"])
    assert not torch.equal(one.replay["codes"], weak.replay["codes"])


@pytest.mark.parametrize(("two_step", "expected"), [(False, {(2, 1)}), (True, {(1, 1), (1, 0)})])
def test_conditional_rows(audiogen, two_step, expected):
    assert audiogen.conditional_rows(4) == slice(0, 4)
    seen = {}

    def watch(role):
        def hook(module, args, kwargs):
            batch = (args[0] if args else kwargs["hidden_states"]).shape[0]
            seen.setdefault(role, set()).add((batch, audiogen.conditional_rows(batch).stop))
        return hook

    hooks = []
    for site in audiogen.sites(3):
        module = audiogen.backbone
        for name in site.path.split("."):
            module = getattr(module, name)
        hooks.append(module.register_forward_pre_hook(watch(site.role), with_kwargs=True))
    try:
        audiogen.generate(PROMPT, duration=0.4, two_step_cfg=two_step)
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == dict.fromkeys(["cross", "self", "text-encoder"], expected)
    assert audiogen.conditional_rows(4) == slice(0, 4)


def hooks_of(model):
    parts = [*model.backbone.modules(), *model.conditions.conditioner.t5.modules()]
    return [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in parts]


def test_nothing_is_left_after_an_error(audiogen, monkeypatch):
    before = hooks_of(audiogen)
    with monkeypatch.context() as patched:
        patched.setattr(type(audiogen.backbone), "_sample_next_token", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            audiogen.generate(PROMPT, duration=0.4, guidance=2.0)
    assert hooks_of(audiogen) == before and audiogen.backbone.cfg_coef == 3.0
    assert audiogen.conditional_rows(2) == slice(0, 2) and not audiogen.backbone._is_streaming


@pytest.mark.parametrize("settings", [
    {"duration": 0}, {"duration": -1.0}, {"duration": 30.1}, {"duration": 0.01}, {"duration": float("nan")},
    {"guidance": 0.5}, {"guidance": float("nan")}, {"temperature": 0.0}, {"temperature": float("nan")}, {"top_k": -1},
    {"top_k": 2.5}, {"top_k": float("nan")}, {"top_p": 1.5}, {"top_p": -0.1}, {"top_p": float("nan")}, {"tempo": 3},
])
def test_settings_out_of_range(audiogen, settings):
    with pytest.raises(SettingError):
        audiogen.generate(PROMPT, **settings)


@pytest.mark.parametrize("prompt", ["", "  \n", "dog" + " dog" * 39])
def test_bad_prompts(audiogen, prompt):
    with pytest.raises(PromptError, match=r"empty|41 tokens"):
        audiogen.generate(prompt)


@pytest.mark.parametrize("settings", [{}, {"use_sampling": False}, {"two_step_cfg": True}])
def test_nan_is_reported_with_its_step(audiogen, settings):
    weight = audiogen.backbone.linears[0].weight
    kept = weight[0, 0].item()
    weight[0, 0] = float("nan")
    try:
        with pytest.raises(NumericalError, match="step 0"):
            audiogen.generate(PROMPT, duration=0.4, **settings)
    finally:
        weight[0, 0] = kept


def test_longest_and_shortest(audiogen):
    assert audiogen.max_duration == 30.0 and audiogen.max_tokens == 24
    for duration, frames in ((0.04, 1), (0.28, 7)):  # int(0.28 * 25) is 7 by luck of rounding, and must stay so
        generation = audiogen.generate(PROMPT, duration=duration)
        assert len(generation.times) == frames + 1
        assert generation.times[-1] == pytest.approx(generation.duration) == pytest.approx(duration)


def test_a_codec_of_transformers(audiogen):
    """What the published MusicGen checkpoints of audiocraft name as their codec, in audiocraft's wrapper."""
    from audiocraft.models import HFEncodecCompressionModel
    from xattnmask_audiocraft.audiogen import AudioGen

    sizes = transformers.EncodecConfig(
        target_bandwidths=[0.4], sampling_rate=400, upsampling_ratios=[4, 4], num_filters=2, hidden_size=4,
        codebook_dim=4, num_lstm_layers=1, codebook_size=16)
    codec = HFEncodecCompressionModel(transformers.EncodecModel(sizes).eval())
    generation = AudioGen(audiogen.backbone, codec, "x").generate(PROMPT, duration=0.4)
    assert generation.audio.shape == (160,) and generation.times[-1] == pytest.approx(0.4)
    assert torch.equal(generation.replay["codes"], audiogen.generate(PROMPT, duration=0.4).replay["codes"])


def test_stereo(models):
    generation = models["stereo"].generate(PROMPT, duration=0.4)
    assert generation.audio.shape == (2, 160) and generation.replay["codes"].shape == (2 * BOOKS, 10)


@torch.no_grad()
def test_prompts_are_made_one_by_one_because_audiocraft_lets_them_change_each_other(audiogen, sound):
    """There is no padding mask: a longer prompt in the batch adds keys to a shorter one."""
    short, long = "a dog", PROMPT
    codes = sound.replay["codes"][None]
    attributes = audiogen.conditions.attributes
    alone = audiogen.backbone.compute_predictions(codes, [attributes(short)]).logits[0]
    both = audiogen.backbone.compute_predictions(codes.repeat(2, 1, 1), [attributes(short), attributes(long)]).logits
    same = audiogen.backbone.compute_predictions(codes.repeat(2, 1, 1), [attributes(short)] * 2).logits
    where = ~alone.isnan()
    assert (both[0] - alone)[where].abs().max() > 1e-2
    assert (same - alone)[:, where].abs().max() < 1e-4
    rows = audiogen.replay(sound, batch=3)
    assert torch.allclose(rows, audiogen.replay(sound).expand_as(rows), atol=1e-4)
