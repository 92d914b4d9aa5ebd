"""Replay repeats what generate computed: exact codes, exact logits, whatever the guidance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList
from xattnmask_transformers.checks import check_causal
from xattnmask_transformers.delay import delay

PROMPT = "a dog barks then a siren wails"
ADAPTERS = ["musicgen", "stereo", "melody"]


class Logits(LogitsProcessor):
    """Keeps generate's logits, before guidance."""

    def __init__(self):
        self.kept = []

    def __call__(self, input_ids, scores):
        self.kept.append(scores.clone())
        return scores


@pytest.fixture(params=ADAPTERS)
def model(request):
    return request.getfixturevalue(request.param)


def generate_logits(model, generation, guidance):
    """The library's own generate, its columns forced to those of ``generation``: raw logits [steps, rows * K, V]."""
    codes = generation.replay["codes"]
    forced = torch.cat([delay(codes, model.delays, model.start), codes.new_full((len(codes), 1), model.start)], 1)
    for k, d in enumerate(model.delays):
        forced[k, d + 1 : d + 1 + codes.shape[1]] = codes[k]
    logits = Logits()
    force = type("Force", (LogitsProcessor,), {"__call__": lambda self, ids, scores: torch.nn.functional.one_hot(
        forced[:, ids.shape[1]].clamp(max=scores.shape[-1] - 1), scores.shape[-1]).float()})()
    ids = torch.tensor([[t.id for t in generation.tokens]])
    original = model.backbone._get_logits_processor

    def with_force(*args, **kwargs):
        return LogitsProcessorList([*original(*args, **kwargs), force])

    model.backbone._get_logits_processor = with_force
    try:
        model.backbone.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), guidance_scale=guidance, do_sample=False,
            max_new_tokens=forced.shape[1] - 1, logits_processor=LogitsProcessorList([logits]),
        )
    finally:
        del model.backbone._get_logits_processor
    return torch.stack(logits.kept)


def heads(model, hidden):
    """Logits [positions, K, V] of one row of hidden states."""
    return torch.stack([head(hidden) for head in model.backbone.decoder.lm_heads], dim=1)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@torch.no_grad()
def test_logits_equal_generates(model, guidance):
    generation = model.generate(PROMPT, seed=1, duration=0.8, guidance=guidance)
    reference = generate_logits(model, generation, guidance)
    hidden = model.replay(generation)
    ours = heads(model, hidden[0])
    codebooks = len(model.delays)
    theirs = reference[:, :codebooks]
    assert ours.shape == theirs.shape
    for f, row in enumerate(generation.positions):
        for k, s in enumerate(row):
            torch.testing.assert_close(ours[s, k], theirs[s, k], atol=1e-4, rtol=0, msg=f"frame {f}, codebook {k}")


def test_guided_generation_is_the_combination_of_two_replays(musicgen):
    generation = musicgen.generate(PROMPT, seed=1, duration=0.8, guidance=3.0, do_sample=False)
    codes = generation.replay["codes"]
    columns = delay(codes, musicgen.delays, musicgen.start)
    null = torch.zeros(1, 1, musicgen.backbone.decoder.config.hidden_size)
    with torch.no_grad():
        conditional = heads(musicgen, musicgen.replay(generation)[0])
        unconditional = heads(musicgen, musicgen._decode(columns, null)[0])
    guided = unconditional + 3.0 * (conditional - unconditional)
    for f, row in enumerate(generation.positions):
        for k, s in enumerate(row):
            assert guided[s, k].argmax() == codes[k, f]


def test_codes_are_codes_and_give_the_audio(model):
    generation = model.generate(PROMPT, seed=3, duration=1.0, guidance=3.0)
    codes = generation.replay["codes"]
    assert codes.shape == (len(model.delays), 25)
    assert codes.min() >= 0 and codes.max() < model.backbone.audio_encoder.config.codebook_size
    channels = model.backbone.decoder.config.audio_channels
    with torch.no_grad():
        audio = [model.backbone.audio_encoder.decode(codes[None, None, c::channels], [None]).audio_values[0, 0]
                 for c in range(channels)]
    np.testing.assert_array_equal(np.squeeze(torch.stack(audio).numpy()), generation.audio)
    assert generation.audio.dtype == np.float32 and generation.audio.shape[-1] == 400
    assert generation.times.shape == (26,) and generation.times[-1] == pytest.approx(generation.duration)
    assert generation.positions.shape == (25, len(model.delays))


def test_replay_repeats_rows_and_lets_gradients_through(model):
    generation = model.generate(PROMPT, duration=0.4)
    hidden = model.replay(generation, batch=3)
    assert hidden.shape == (3, 10 + int(model.delays.max()), 24)
    assert torch.allclose(hidden[0], hidden[2], atol=1e-5)
    scale = torch.ones((), requires_grad=True)
    norm = model.backbone.text_encoder.encoder.block[0].layer[0].layer_norm
    hook = norm.register_forward_hook(lambda module, args, output: output * scale)
    try:
        model.replay(generation, batch=2).square().sum().backward()
    finally:
        hook.remove()
    assert scale.grad is not None and scale.grad.isfinite() and scale.grad != 0


def test_decoder_is_causal(model):
    check_causal(model.backbone)
    generation = model.generate(PROMPT, duration=0.4)
    codes = generation.replay["codes"].clone()
    before = model.replay(generation)
    generation.replay["codes"][:, -1] = (codes[:, -1] + 1) % 16
    after = model.replay(generation)
    generation.replay["codes"].copy_(codes)
    assert torch.equal(before[:, :10], after[:, :10]) and not torch.allclose(before[:, 10:], after[:, 10:])
