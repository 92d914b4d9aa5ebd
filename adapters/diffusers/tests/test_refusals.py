"""What cannot work says so, in one line that tells what to do."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask.errors import CheckpointError, PatchError, SettingError, SiteNotSeenError

from .conftest import KEYS, PROMPT

ENCODERS = {"audioldm": "text_encoder", "audioldm2": "text_encoder_2", "musicldm": "text_encoder",
            "stable-audio": "text_encoder", "stable-audio-3": "text_encoder"}


def changed(folder, copy, name, value):
    """A copy of a checkpoint whose model_index.json names another class."""
    shutil.copytree(folder, copy)
    index = json.loads((copy / "model_index.json").read_text())
    index[name] = value
    (copy / "model_index.json").write_text(json.dumps(index))
    return copy


@pytest.mark.parametrize("key", KEYS)
def test_a_pipeline_without_its_text_encoder(checkpoints, tmp_path, key):
    name = ENCODERS[key]
    folder = changed(checkpoints(key), tmp_path / "partial", name, [None, None])
    with pytest.raises(CheckpointError, match=f"was saved without {name}: save the whole pipeline"):
        xm.load(key, str(folder))


def test_a_language_model_of_the_old_class_and_what_is_told_to_do(checkpoints, models, tmp_path):
    """The published weights were saved as a GPT2Model, without the prefix that GPT2LMHeadModel's names have."""
    old = changed(checkpoints("audioldm2"), tmp_path / "old", "language_model", ["transformers", "GPT2Model"])
    models("audioldm2").backbone["language_model"].transformer.save_pretrained(old / "language_model")
    with pytest.raises(CheckpointError, match=r"write GPT2LMHeadModel in its place in model_index\.json"):
        xm.load("audioldm2", str(old))
    mended = changed(old, tmp_path / "mended", "language_model", ["transformers", "GPT2LMHeadModel"])
    found, expected = (model.generate(PROMPT, seed=0, duration=0.6, steps=2).audio
                       for model in (xm.load("audioldm2", str(mended)), models("audioldm2")))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("key", ["audioldm", "stable-audio-3"])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_float16_on_the_cpu(checkpoints, key, device):
    with pytest.raises(SettingError, match=r"float16 overflows on the CPU.*use dtype float32 or bfloat16"):
        xm.load(key, str(checkpoints(key)), dtype="float16", device=device)


@pytest.mark.parametrize(("key", "scheduler", "told"), [
    ("audioldm", "RePaintScheduler", "does not fit this model"),  # wants the sound that is mended
    ("audioldm", "IPNDMScheduler", "it has no alphas_cumprod"),
    ("audioldm", "UnCLIPScheduler", "does not fit this model"),
    ("audioldm", "FlowMatchEulerDiscreteScheduler", "for another kind of model than DDIMScheduler is"),
    ("audioldm", "EDMEulerScheduler", "for another kind of model"),
    ("stable-audio-3", "DDIMScheduler", "for another kind of model than FlowMatchEulerDiscreteScheduler is"),
    ("audioldm", "AudioLDMPipeline", "diffusers has no scheduler 'AudioLDMPipeline'; DDIMScheduler is one"),
])  # fmt: skip
def test_schedulers_that_do_not_fit(models, key, scheduler, told):
    model = models(key)
    own = model.pipeline.scheduler
    with pytest.raises(SettingError, match=told):
        model.generate(PROMPT, duration=0.6, steps=3, scheduler=scheduler)
    assert model.pipeline.scheduler is own and model.step == 0
    model.generate(PROMPT, duration=0.6, steps=1)


def test_eta_of_a_pipeline_that_knows_none(models):
    with pytest.raises(SettingError, match="StableAudio3Pipeline knows no eta"):
        models("stable-audio-3").generate(PROMPT, duration=0.6, steps=1, eta=0.5)


class Hidden:
    """A processor of attention whose softmax no one sees, as a kernel of its own would be."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        given = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        parts = (attn.to_q(hidden_states), attn.to_k(given), attn.to_v(given))
        query, key, value = map(attn.head_to_batch_dim, parts)
        scores = torch.exp(query @ key.transpose(1, 2) * attn.scale)
        return attn.to_out[0](attn.batch_to_head_dim(scores / scores.sum(-1, keepdim=True) @ value))


def test_a_processor_that_hides_its_attention(models):
    model = models("audioldm2")
    generation = model.generate(PROMPT, duration=0.6, steps=1)
    site = model.sites(len(generation.tokens))[0]
    module = model.backbone.get_submodule(site.path)
    before, mask = module.processor, torch.zeros(1, len(generation.tokens))
    module.set_processor(Hidden())
    try:
        model.regenerate(generation)  # it works unpatched
        with pytest.raises(SiteNotSeenError, match=f"(?s){site.path}.*use sdpa or eager attention"), \
                xm.patch(model, mask):
            model.regenerate(generation)
    finally:
        module.set_processor(before)
    with xm.patch(model, mask):
        model.regenerate(generation)


def test_attention_in_slices(models):
    """diffusers' slicing makes several calls of one attention, each of a part of the batch and its heads."""
    from diffusers.models.attention_processor import SlicedAttnProcessor

    model = models("audioldm2")
    generation = model.generate(PROMPT, duration=0.6, steps=1)
    site = model.sites(len(generation.tokens))[0]
    module = model.backbone.get_submodule(site.path)
    before = module.processor
    module.set_processor(SlicedAttnProcessor(1))
    try:
        with pytest.raises(PatchError, match=f"{site.path}.*compute it whole, not in slices"), \
                xm.patch(model, torch.zeros(1, len(generation.tokens))):
            model.regenerate(generation)
    finally:
        module.set_processor(before)


def test_loading_says_nothing_where_nobody_watches(checkpoints, capfd, recwarn):
    xm.load("audioldm2", str(checkpoints("audioldm2")))
    shown = capfd.readouterr()
    assert "Loading" not in shown.out + shown.err
    assert not [each for each in recwarn if "torch_dtype" in str(each.message)]
