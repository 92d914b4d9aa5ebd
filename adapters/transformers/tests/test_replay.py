"""Replay repeats what generate computed: exact codes, exact logits, whatever the guidance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from xattnmask_transformers.checks import check_causal
from xattnmask_transformers.delay import delay

PROMPT = "a dog barks then a siren wails"


def heads(model, hidden):
    """Logits [positions, K, V] of one row of hidden states."""
    return torch.stack([head(hidden) for head in model.backbone.decoder.lm_heads], dim=1)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@torch.no_grad()
def test_logits_equal_generates(model, logits, guidance):
    generation = model.generate(PROMPT, seed=1, duration=0.8, guidance=guidance)
    theirs = torch.stack(logits)
    assert theirs.shape[1] == len(model.delays) * (2 if guidance > 1 else 1)
    ours = heads(model, model.replay(generation)[0])
    torch.testing.assert_close(emitted(generation, ours), emitted(generation, theirs), atol=1e-4, rtol=0)


def emitted(generation, logits):
    """The logits [F, K, V] that emit each code, of logits [positions, K or more, V]."""
    return torch.stack([logits[generation.positions[:, k], k] for k in range(generation.positions.shape[1])], dim=1)


def test_guided_generation_is_the_combination_of_two_replays(musicgen):
    generation = musicgen.generate(PROMPT, seed=1, duration=0.8, guidance=3.0, do_sample=False)
    codes = generation.replay["codes"]
    columns = delay(codes, musicgen.delays, musicgen.start)
    null = torch.zeros(1, 1, musicgen.backbone.decoder.config.hidden_size)
    with torch.no_grad():
        conditional = heads(musicgen, musicgen.replay(generation)[0])
        unconditional = heads(musicgen, musicgen._decode(columns, null)[0])
    guided = unconditional + 3.0 * (conditional - unconditional)
    assert torch.equal(emitted(generation, guided).argmax(-1), codes.T)


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
