"""Generation against the pipelines' own output, exact replay, schedulers, negative prompts and several waveforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask.errors import CheckpointError, PromptError, SettingError

from .conftest import KEYS, PROMPT, UNREADABLE, close

DURATION, STEPS = 0.6, 4


def make(model, **settings):
    return model.generate(PROMPT, seed=3, duration=DURATION, **{"steps": STEPS, **settings})


def theirs(model, guidance=3.0, **arguments):
    """What the pipeline itself makes of the prompt."""
    generator = torch.Generator("cpu").manual_seed(3)
    arguments = {"num_inference_steps": STEPS, "guidance_scale": guidance, "output_type": "np", **arguments}
    return model.pipeline(
        PROMPT, generator=generator, **model.duration_arguments(DURATION), **arguments
    ).audios  # fmt: skip


@pytest.mark.parametrize("key", [key for key in KEYS if key not in UNREADABLE])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_it_is_what_the_pipeline_makes(models, key, guidance):
    model = models(key)
    assert close(make(model, guidance=guidance).audio, np.squeeze(theirs(model, guidance)[0]), 1e-4)


@pytest.mark.parametrize("key", [key for key in KEYS if key not in UNREADABLE])
def test_a_negative_prompt(models, key):
    model = models(key)
    ours = make(model, negative_prompt="a dog").audio
    assert close(ours, np.squeeze(theirs(model, negative_prompt="a dog")[0]), 1e-4)
    assert not close(ours, make(model).audio, 1e-3)


@pytest.mark.parametrize("key", ["audioldm", "stable-audio", "stable-audio-3"])
def test_one_of_several_waveforms(models, key):
    model = models(key)
    ours = make(model, waveforms=2, waveform=1).audio
    assert close(ours, np.squeeze(theirs(model, num_waveforms_per_prompt=2)[1]), 1e-4)
    assert not close(ours, make(model).audio, 1e-3)


def test_a_distilled_stable_audio_3_takes_few_steps_and_no_guidance(models):
    """Its scheduler draws noise anew at each step, and the audio is the pipeline's own all the same."""
    import diffusers
    from xattnmask_diffusers.stable_audio_3 import StableAudio3

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, stochastic_sampling=True)
    parts = models("stable-audio-3").pipeline.components
    model = StableAudio3(diffusers.StableAudio3Pipeline(**parts | {"scheduler": scheduler}), "distilled")
    model.pipeline.set_progress_bar_config(disable=True)
    made = model.generate(PROMPT, seed=3, duration=DURATION)
    assert (made.settings["steps"], made.settings["guidance"], len(made.noise_levels)) == (8, 1.0, 8)
    assert close(made.audio, np.squeeze(theirs(model, 1.0, num_inference_steps=8)[0]), 1e-4)
    assert not close(made.audio, models("stable-audio-3").generate(PROMPT, seed=3, duration=DURATION, steps=8).audio)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_replay_is_what_was_predicted(models, key, guidance):
    model, seen = models(key), []
    handle = model.denoiser.register_forward_hook(lambda module, args, output: seen.append(output[0]))
    generation = make(model, guidance=guidance)
    handle.remove()
    halves = [prediction.chunk(2) if guidance > 1 else (prediction, prediction) for prediction in seen]
    heard = len(generation.positions)
    for text in (True, False) if guidance > 1 else (True,):
        with torch.no_grad():
            again = model.denoise(generation, range(STEPS), text=text).prediction[0]
        for step, (null, conditional) in enumerate(halves):
            expected = (conditional if text else null)[0].movedim(1, 0).flatten(1)[:heard]
            assert close(again[step], expected)


@pytest.mark.parametrize("key", KEYS)
def test_steps_and_copies_are_rows(models, key):
    model = models(key)
    generation = make(model)
    with torch.no_grad():
        one = model.denoise(generation, range(STEPS)).prediction[0]
        found = model.denoise(generation, [3, 1], batch=2).prediction
    assert found.shape == (2, 2, *one.shape[1:])
    for copy in found:
        assert close(copy, one[[3, 1]])


@pytest.mark.parametrize("key", KEYS)
def test_the_same_seed_and_settings_repeat_it(models, key):
    model = models(key)
    generation = make(model, eta=0.5 if "ldm" in key else 0.0)
    assert np.array_equal(model.regenerate(generation).audio, generation.audio)
    assert not close(model.regenerate(generation, seed=4).audio, generation.audio, 1e-3)
    assert generation.duration == pytest.approx(DURATION, abs=1e-3)
    assert generation.times[-1] == pytest.approx(DURATION) and (np.diff(generation.times) > 0).all()


@pytest.mark.parametrize("name", [
    "DDIMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler",
    "HeunDiscreteScheduler",
])  # fmt: skip
def test_schedulers(models, name):
    """The levels say what the denoiser was given: at x0 = 0 the first latents are sigma times the noise."""
    model = models("audioldm")
    own = model.pipeline.scheduler
    generation = make(model, scheduler=name)
    assert model.pipeline.scheduler is own
    assert np.array_equal(model.regenerate(generation).audio, generation.audio)
    kept = generation.replay
    torch.testing.assert_close(kept["alpha"] ** 2 + kept["sigma"] ** 2, torch.ones_like(kept["alpha"]))
    assert (np.diff(generation.noise_levels) <= 1e-9).all() and generation.noise_levels[0] > 0.9
    assert float(kept["latents"][0].std()) == pytest.approx(1.0, abs=0.1)
    assert len(kept["latents"]) == len(kept["timesteps"]) == len(generation.noise_levels)


def test_levels_are_those_of_add_noise(models):
    model = models("audioldm")
    generation = make(model)
    kept, generator = generation.replay, torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(STEPS, 4, 8, 4, generator=generator) for _ in range(2))
    expected = model.scheduler.add_noise(clean, noise, kept["timesteps"].long())
    alpha, sigma = (kept[name][:, None, None, None] for name in ("alpha", "sigma"))
    torch.testing.assert_close((alpha * clean + sigma * noise).float(), expected, atol=1e-5, rtol=1e-4)


def test_stable_audios_levels_are_its_preconditioning(models):
    """c_in x = alpha x0 + sigma noise, and x0 from v as the scheduler itself computes it."""
    model = models("stable-audio")
    generation = make(model, guidance=1.0)
    scheduler = model.scheduler
    scheduler.set_timesteps(STEPS)
    with torch.no_grad():
        denoised = model.denoise(generation, range(STEPS))
    clean = denoised.as_("x0")[0]
    for step in range(STEPS):
        sigma = scheduler.sigmas[step]
        scaled = denoised.latents[step].double()
        sample = scaled / (1 / (sigma.double() ** 2 + 1).sqrt())
        expected = scheduler.precondition_outputs(sample, denoised.prediction[0, step].double(), sigma.double())
        torch.testing.assert_close(clean[step].double(), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("wanted", ["noise", "x0", "v"])
@pytest.mark.parametrize("kind", ["noise", "x0", "v", "flow"])
def test_predictions_in_other_forms(kind, wanted):
    from xattnmask.diffusion import Denoised

    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(1, 3, 5, 2, generator=generator) for _ in range(2))
    angle = torch.tensor([0.3, 0.8, 1.3])
    alpha, sigma = (1 - angle / 2, angle / 2) if kind == "flow" else (angle.cos(), angle.sin())
    a, s = alpha[:, None, None], sigma[:, None, None]
    forms = {"noise": noise, "x0": clean, "v": a * noise - s * clean, "flow": noise - clean}
    denoised = Denoised((a * clean + s * noise)[0], forms[kind], alpha, sigma, kind)
    torch.testing.assert_close(denoised.as_(wanted), forms[wanted], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("settings", "message"), [
    ({"stepz": 3}, "unknown settings stepz"), ({"steps": 0}, "steps must be a whole number"),
    ({"waveforms": 2, "waveform": 2}, "waveform 2 of 2"), ({"eta": 2.0}, "eta must be from 0 to 1"),
    ({"guidance": 0.5}, "guidance must be at least 1"), ({"scheduler": "Nope"}, "no scheduler 'Nope'"),
    ({"negative_prompt": 3}, "negative_prompt must be a string"),
])  # fmt: skip
def test_settings_out_of_range(models, settings, message):
    with pytest.raises(SettingError, match=message):
        make(models("audioldm"), **settings)


@pytest.mark.parametrize("key", KEYS)
def test_a_prompt_that_is_too_long(models, key):
    with pytest.raises(PromptError, match=r"the prompt has \d+ tokens and the text encoder takes \d+"):
        models(key).generate("dog " * 200, duration=DURATION, steps=1)


def test_checkpoints_that_are_none(checkpoints, tmp_path):
    with pytest.raises(CheckpointError, match="neither a folder that exists nor a hub id"):
        xm.load("audioldm", str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        xm.load("audioldm", str(tmp_path))
    with pytest.raises(CheckpointError, match="holds a AudioLDMPipeline, not a AudioLDM2Pipeline"):
        xm.load("audioldm2", str(checkpoints("audioldm")))


def test_a_checkpoint_without_weights(checkpoints, tmp_path):
    import shutil

    shutil.copytree(checkpoints("audioldm"), tmp_path / "partial")
    next((tmp_path / "partial" / "unet").glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match="cannot load it as AudioLDMPipeline"):
        xm.load("audioldm", str(tmp_path / "partial"))
