"""Sounds that the model did not make: their latents, the noise that is added, and that they can be explained."""

from __future__ import annotations

import json
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import soundfile
import torch
from xattnmask_diffusers import schedules
from xattnmask_diffusers.mel import MelSpectrogram

import xattnmask as xm
from xattnmask.cli import main
from xattnmask.errors import FormatError, PromptError, SettingError

from .conftest import KEYS, PROMPT, close, scheduler

DURATION = 0.6
MEL = ("audioldm", "audioldm2", "musicldm")


@pytest.fixture
def models(models, monkeypatch):
    """With a shorter schedule to take sounds in at: tests are to be quick."""

    def short(key):
        model = models(key)
        monkeypatch.setattr(model, "default_steps", 8)
        return model

    return short


def sound(model, seconds=DURATION, channels=1, rate=None):
    rate = rate or model.sample_rate
    made = 0.3 * np.random.default_rng(0).standard_normal((channels, round(seconds * rate))).astype(np.float32)
    return made[0] if channels == 1 else made


def clean_latents(model, audio):
    """By a pipeline's own parts: the VAE's mean."""
    vae = model.backbone["vae"]
    with torch.no_grad():
        if model.key in MEL:
            spectrogram = torch.from_numpy(model.mel(audio, 60))[None, None]
            return vae.encode(spectrogram).latent_dist.mean * vae.config.scaling_factor
        if model.key == "stable-audio-3":
            return vae.encode(torch.from_numpy(np.stack([audio, audio]))[None]).latents
        rows = np.zeros((2, model.columns * vae.hop_length), np.float32)
        rows[:, : audio.shape[-1]] = audio
        return vae.encode(torch.from_numpy(rows)[None]).latent_dist.mean


@pytest.mark.parametrize("key", KEYS)
def test_latents_are_the_sounds_with_noise_at_every_step(models, key):
    """x0 is the same in all, and what is left is noise of unit variance, another draw in each."""
    model = models(key)
    audio = sound(model)
    taken = model.encode(PROMPT, audio, model.sample_rate)
    kept, clean = taken.replay, clean_latents(model, audio)
    assert len(kept["latents"]) == len(taken.noise_levels) == model.default_steps
    assert (np.diff(taken.noise_levels) <= 0).all() and taken.noise_levels[0] > 0.9
    alpha, sigma = (kept[name].reshape(-1, *[1] * (clean.ndim - 1)) for name in ("alpha", "sigma"))
    noise = (kept["latents"].double() - alpha * clean.double()) / sigma
    noise = noise[taken.noise_levels > 0.1].flatten(1)
    assert noise.std(1).numpy() == pytest.approx(1, abs=0.25) and float(noise.mean().abs()) < 0.1
    assert np.abs(np.corrcoef(noise.numpy()) - np.eye(len(noise))).max() < 0.5
    again = model.encode(PROMPT, audio, model.sample_rate)
    assert torch.equal(again.replay["latents"], kept["latents"])


@pytest.mark.parametrize("key", KEYS)
def test_the_denoiser_gets_what_it_gets_in_a_generation(models, key):
    model = models(key)
    made = model.generate(PROMPT, seed=3, duration=DURATION, steps=model.default_steps)
    taken = model.encode(PROMPT, sound(model), model.sample_rate)
    assert taken.encoded and taken.tokens == made.tokens and taken.sample_rate == made.sample_rate
    assert taken.times == pytest.approx(made.times) and np.array_equal(taken.positions, made.positions)
    assert taken.replay["kind"] == made.replay["kind"]
    assert torch.equal(taken.replay["timesteps"], made.replay["timesteps"])
    assert taken.noise_levels == pytest.approx(made.noise_levels)
    assert taken.replay["latents"].shape == made.replay["latents"].shape
    for branch in ("inputs", "unconditional"):
        assert taken.replay[branch].keys() == made.replay[branch].keys()
        for name, value in made.replay[branch].items():
            if isinstance(value, torch.Tensor):
                assert close(taken.replay[branch][name], value), (branch, name)
    swapped = replace(taken, replay={**taken.replay, "latents": made.replay["latents"]})
    with torch.no_grad():
        ours, theirs = (model.denoise(one, [0, 2]).prediction for one in (swapped, made))
    assert close(ours, theirs)


@pytest.mark.parametrize("name", [
    "DDIMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler",
    "HeunDiscreteScheduler",
])  # fmt: skip
def test_levels_are_those_that_schedulers_add_noise_at(name):
    check_levels(schedules.build(name, scheduler()))


@pytest.mark.parametrize("made", [
    diffusers.EDMDPMSolverMultistepScheduler(sigma_min=0.3, sigma_max=500.0, sigma_data=1.0),
    diffusers.CosineDPMSolverMultistepScheduler(sigma_min=0.3, sigma_max=500.0, sigma_data=1.0),
    diffusers.FlowMatchEulerDiscreteScheduler(shift=2.0),
], ids=lambda made: type(made).__name__)  # fmt: skip
def test_levels_of_schedulers_of_other_kinds(made):
    check_levels(made)


def check_levels(used):
    used.set_timesteps(7)
    clean = torch.full((1, 2, 50, 40), 3.0)
    found, generator = schedules.noised(used, clean, seed=1), torch.Generator().manual_seed(1)
    noise = torch.cat([torch.randn(clean.shape, generator=generator) for _ in used.timesteps])
    alpha, sigma = (values[:, None, None, None] for values in schedules.levels(used, used.timesteps))
    torch.testing.assert_close(found.double(), alpha * clean + sigma * noise, atol=1e-3, rtol=1e-3)
    assert getattr(used, "step_index", None) is None


@pytest.mark.parametrize("key", MEL)
@torch.no_grad()
def test_decoded_latents_are_what_vae_and_vocoder_make(models, key):
    """Without noise in between, the pipeline's own decoding gives the reconstruction of the VAE, vocoded."""
    model, pipeline = models(key), models(key).pipeline
    audio = sound(model)
    spectrogram = torch.from_numpy(model.mel(audio, 60))[None, None]
    expected = pipeline.vocoder(pipeline.vae(spectrogram).sample[0, 0])
    latents = model.encode_sound(audio[None], 30)
    decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    assert close(pipeline.mel_spectrogram_to_waveform(decoded)[0], expected, 1e-4)
    assert float(expected.std()) > 0 and expected.shape[-1] == len(audio)


@torch.no_grad()
def test_decoded_latents_are_what_oobleck_makes(models):
    model = models("stable-audio")
    audio, vae = sound(model, channels=2), model.backbone["vae"]
    padded = torch.zeros(1, 2, model.columns * vae.hop_length)
    padded[0, :, : audio.shape[-1]] = torch.from_numpy(audio)
    decoded = vae.decode(model.encode_sound(audio, model.columns)).sample
    assert close(decoded, vae(padded, sample_posterior=False).sample, 1e-4)


@torch.no_grad()
def test_decoded_latents_are_what_same_makes(models):
    model = models("stable-audio-3")
    audio, vae = sound(model, channels=2), model.backbone["vae"]
    decoded = vae.decode(model.encode_sound(audio, 24)).sample
    assert close(decoded, vae(torch.from_numpy(audio)[None]).sample, 1e-4)


@pytest.mark.parametrize(("rate", "hop", "bands", "window"), [(16000, 160, 64, 1024), (16000, 320, 64, 1024),
                                                               (48000, 480, 256, 2048)])
def test_the_spectrogram_is_that_of_hifi_gan(rate, hop, bands, window):
    """By librosa's filters and torch's transform, as HiFi-GAN and AudioLDM's training compute it."""
    filters = pytest.importorskip("librosa").filters.mel(sr=rate, n_fft=window, n_mels=bands, fmin=0, fmax=rate / 2)
    samples = torch.from_numpy(0.1 * np.random.default_rng(1).standard_normal(40 * hop).astype(np.float32))
    samples[: 15 * hop] *= 1e-6  # nearly silent: the floor
    around = (window - hop) // 2
    padded = torch.nn.functional.pad(samples[None], (around, around), mode="reflect")
    transform = torch.stft(padded, window, hop, window, torch.hann_window(window), center=False, return_complex=True)
    expected = torch.log(torch.clamp(torch.from_numpy(filters) @ transform[0].abs(), min=1e-5)).T
    mel = MelSpectrogram.of(config(rate, [hop], bands))
    assert (mel.rate, mel.hop, mel.bands, mel.window) == (rate, hop, bands, window)
    assert (mel.lowest, mel.highest) == (0, rate / 2)
    found = mel(samples.numpy(), 40)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-3)
    assert found.min() == pytest.approx(np.log(1e-5)) and found.shape == (40, bands)


def config(rate, rates, bands, **others):
    from transformers import SpeechT5HifiGanConfig

    return SpeechT5HifiGanConfig(model_in_dim=bands, sampling_rate=rate, upsample_rates=rates, **others)


def test_what_the_vocoder_does_not_know_is_read_where_it_is_said():
    mel = MelSpectrogram.of(config(16000, [5, 4, 2, 2, 2], 64, n_fft=2048, fmin=20, fmax=7600.0, mel_floor=1e-4))
    assert (mel.hop, mel.window, mel.lowest, mel.highest, mel.floor) == (160, 2048, 20, 7600, 1e-4)


def test_a_spectrogram_of_ones_own(models):
    model = models("audioldm")
    audio, before = sound(model), model.mel
    first = model.encode(PROMPT, audio, model.sample_rate).replay["latents"]
    model.mel = replace(before, window=128, highest=700.0)
    try:
        other = model.encode(PROMPT, audio, model.sample_rate).replay["latents"]
    finally:
        model.mel = before
    assert not close(other, first, 1e-3)


@pytest.mark.parametrize(("settings", "message"), [
    ({"window": 8}, "at least 16 samples"), ({"lowest": 900.0}, "from 0 to 800 Hz, not 900 to 800"),
    ({"highest": 801.0}, "not 0 to 801"), ({"floor": 0.0}, "above 0"),
])  # fmt: skip
def test_spectrograms_that_are_none(models, settings, message):
    with pytest.raises(SettingError, match=message):
        replace(models("audioldm").mel, **settings)


@pytest.mark.parametrize("key", KEYS)
def test_channels_and_rates_are_brought_into_form(models, key):
    model = models(key)
    rate = model.sample_rate
    taken = model.encode(PROMPT, sound(model, channels=3, rate=2 * rate), 2 * rate)
    shape = (round(DURATION * rate),)
    assert taken.audio.shape == (shape if model.channels == 1 else (model.channels, *shape))
    assert taken.duration == pytest.approx(DURATION) and taken.times[-1] == pytest.approx(DURATION)


@pytest.mark.parametrize("key", KEYS)
def test_it_is_explained_but_not_made_again(models, key, tmp_path):
    model = models(key)
    taken = model.encode(PROMPT, sound(model), model.sample_rate)
    explanation = xm.explain(model, taken, steps=2, denoising_steps=3, bins=4, representation="guidance")
    assert explanation.step_time_importance.shape == (3, 4, len(taken.tokens))
    assert np.isfinite(explanation.importance).all() and explanation.importance.std() > 0
    assert explanation.generation_settings["encoded"] is True
    explanation.save(tmp_path)
    assert xm.Explanation.load(tmp_path) == explanation
    for again in (lambda: model.regenerate(taken), lambda: xm.edit(model, taken, {"dog": 0.0})):
        with pytest.raises(SettingError, match="did not make this sound"):
            again()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("seconds", "told"), [(0.001, "must have at least"), (33.0, "the model makes at most")])
def test_too_short_and_too_long(models, key, seconds, told):
    model = models(key)
    rate = max(model.sample_rate, 1000)
    with pytest.raises(SettingError, match=told):
        model.encode(PROMPT, sound(model, seconds, rate=rate), rate)


def test_what_is_no_sound(models, tmp_path):
    model = models("audioldm")
    for audio, rate, told in ((np.zeros(0, np.float32), 1600, "empty"), (np.full(9, np.nan, np.float32), 1600, "NaN"),
                              (np.zeros(9, np.int16), 1600, "floats"), (np.zeros(9, np.float32), 0, "above 0")):
        with pytest.raises(SettingError, match=told):
            model.encode(PROMPT, audio, rate)
    with pytest.raises(PromptError):
        model.encode(" ", sound(model), 1600)
    (tmp_path / "a.wav").write_bytes(b"text")
    with pytest.raises(FormatError, match="cannot read"):
        model.encode(PROMPT, *xm.read_audio(tmp_path / "a.wav"))


def test_from_the_shell(checkpoints, tmp_path, capsys):
    soundfile.write(tmp_path / "given.wav", 0.1 * np.random.default_rng(0).standard_normal((4800, 2)), 8000)
    with pytest.raises(SystemExit) as stop:
        main(["explain", "a dog", "--audio", str(tmp_path / "given.wav"), "--model", "audioldm2", "--checkpoint",
              str(checkpoints("audioldm2")), "--steps", "1", "--out", str(tmp_path / "out"), "--json"])
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
    json.loads(printed.out)
    saved = xm.Explanation.load(tmp_path / "out")
    assert saved.steps is not None and saved.generation_settings["encoded"] is True
    assert not (tmp_path / "out" / "factual.wav").exists()
