"""Replay repeats what audiocraft computed: its codes, its logits, whatever the guidance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .conftest import PROMPT, emitted, heads


@pytest.mark.parametrize("two_step", [False, True])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@torch.no_grad()
def test_logits_equal_generations(model, logits, guidance, two_step):
    generation = model.generate(PROMPT, seed=1, duration=0.8, guidance=guidance, two_step_cfg=two_step)
    theirs = torch.stack(logits[::2] if two_step else logits)[:, 0]
    assert theirs.shape[0] == generation.positions.max() + 1
    ours = heads(model, model.replay(generation)[0])
    torch.testing.assert_close(emitted(generation, ours), emitted(generation, theirs), atol=1e-4, rtol=0)


@torch.no_grad()
def test_logits_equal_audiocrafts_teacher_forcing(model):
    generation = model.generate(PROMPT, seed=1, duration=0.8)
    codes = generation.replay["codes"][None]
    output = model.backbone.compute_predictions(
        codes, [model.conditions.attributes(PROMPT)], keep_only_valid_steps=False)
    assert output.mask.all()
    ours = emitted(generation, heads(model, model.replay(generation)[0]))
    torch.testing.assert_close(ours.transpose(0, 1), output.logits[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_guided_generation_is_the_combination_of_two_replays(audiogen, sound):
    generation = audiogen.generate(PROMPT, seed=1, duration=0.8, guidance=3.0, use_sampling=False)
    null = audiogen._decode(audiogen._columns(generation), audiogen.conditions.encode(None))
    with_text, without = (heads(audiogen, hidden[0]) for hidden in (audiogen.replay(generation), null))
    guided = without + 3.0 * (with_text - without)
    assert torch.equal(emitted(generation, guided).argmax(-1), generation.replay["codes"].T)


def test_codes_give_the_audio(model):
    generation = model.generate(PROMPT, seed=3, duration=1.0)
    codes = generation.replay["codes"]
    assert codes.min() >= 0 and codes.max() < model.backbone.card
    with torch.no_grad():
        audio = model.codec.decode(codes[None])[0].numpy()
    np.testing.assert_array_equal(np.squeeze(audio), generation.audio)
    assert generation.audio.dtype == np.float32 and generation.audio.shape[-1] == 400
    assert generation.times.shape == (26,) and generation.times[-1] == pytest.approx(generation.duration)
    assert generation.positions.shape == (25, len(codes))


def test_positions_are_those_of_the_delays(models):
    positions = models["stereo"].generate(PROMPT, duration=0.4).positions
    np.testing.assert_array_equal(positions, np.arange(10)[:, None] + [0, 0, 1, 1, 2, 2, 3, 3])


def test_gradients_reach_through_the_text_encoder(model):
    generation = model.generate(PROMPT, duration=0.4)
    assert model.replay(generation, batch=3).shape == (3, generation.positions.max() + 1, 24)
    scale = torch.ones((), requires_grad=True)
    norm = model.conditions.conditioner.t5.encoder.block[0].layer[0].layer_norm
    hook = norm.register_forward_hook(lambda module, args, output: output * scale)
    try:
        model.replay(generation, batch=2).square().sum().backward()
    finally:
        hook.remove()
    assert scale.grad is not None and scale.grad.isfinite() and scale.grad != 0
    assert model.conditions.conditioner.finetune is False
    with torch.no_grad():
        assert not model.replay(generation).requires_grad


def test_no_code_reaches_back(model):
    generation = model.generate(PROMPT, duration=0.4)
    codes = generation.replay["codes"]
    before = model.replay(generation)
    kept, codes[:, -1] = codes[:, -1].clone(), (codes[:, -1] + 1) % 16
    try:
        after = model.replay(generation)
    finally:
        codes[:, -1] = kept
    first = int(generation.positions[-1].min()) + 1  # the first position that reads one of them
    assert torch.allclose(before[:, :first], after[:, :first], atol=1e-5)
    assert first > int(generation.positions.max()) or not torch.allclose(before[:, first:], after[:, first:])


@torch.no_grad()
def test_embeddings(audiogen, sound):
    """The projected T5 states, and the sum of the codes' embeddings, as audiocraft's own forward makes them."""
    seen = {}
    hook = audiogen.backbone.fuser.register_forward_hook(
        lambda module, args, output: seen.update(audio=args[0], text=output[1]))
    try:
        pattern = audiogen.backbone.pattern_provider.get_pattern(10)
        columns = pattern.build_pattern_sequence(sound.replay["codes"][None], 16)[0][..., :-1]
        audiogen.backbone(columns, [audiogen.conditions.attributes(PROMPT)])
    finally:
        hook.remove()
    assert torch.allclose(audiogen.audio_embeddings(sound), seen["audio"][0], atol=1e-6)
    assert torch.allclose(audiogen.token_embeddings(sound), seen["text"][0], atol=1e-6)
