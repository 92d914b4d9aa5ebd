"""Patches that stay, that take away other people's hooks, or that silently do nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

import xattnmask as xm
from xattnmask import PatchError, Site, SiteNotFoundError, SiteNotSeenError
from xattnmask.patching import intercept

SETTINGS = {"duration": 0.4, "do_sample": False}


def hooks(model):
    return [list(module._forward_hooks) + list(module._forward_pre_hooks) for module in model.backbone.modules()]


def test_a_patch_left_after_an_error(toy_model, sound, zeros, replay):
    clean, before = replay(), hooks(toy_model)
    with pytest.raises(ZeroDivisionError), xm.patch(toy_model, zeros):
        replay()
        1 / 0  # noqa: B018
    assert hooks(toy_model) == before and not _get_current_function_mode_stack()
    assert torch.equal(replay(), clean)


def test_a_patch_left_half_way_through_installing(toy_model, sound, zeros, replay, monkeypatch):
    clean, before = replay(), hooks(toy_model)
    last = toy_model.backbone.layers[1].cross
    monkeypatch.setattr(last, "register_forward_hook", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError), xm.patch(toy_model, zeros):
        pass
    assert hooks(toy_model) == before and torch.equal(replay(), clean)


def test_clean_up_that_removes_other_peoples_hooks(toy_model, zeros, replay):
    calls = []
    cross = toy_model.backbone.layers[0].cross
    cross.register_forward_hook(lambda *_: calls.append("before"))
    with xm.patch(toy_model, zeros):
        cross.register_forward_hook(lambda *_: calls.append("inside"))
        replay()
    calls.clear()
    replay()
    assert calls == ["before", "inside"]


def test_a_patch_that_does_nothing_under_sdpa_and_returns_zeros(toy_model, sound, replay):
    """Tools that wait for an eager softmax see nothing under sdpa: here the probabilities come out, and sum to 1."""
    seen = []
    with xm.capture_attention(toy_model, lambda _, p: seen.append(p), num_tokens=len(sound.tokens)):
        replay()
    assert len(seen) == 2 and all(torch.allclose(p.sum(-1), torch.ones(p.shape[:-1])) for p in seen)


def test_attention_that_cannot_be_seen_raises(toy_model, zeros, replay, monkeypatch):
    """A kernel of its own, as xformers and flash-attn have, never passes through torch."""
    cross = toy_model.backbone.layers[0].cross
    monkeypatch.setattr(cross, "forward", lambda x, memory: cross.o(x))
    with pytest.raises(SiteNotSeenError, match="use sdpa or eager attention"), xm.patch(toy_model, zeros):
        replay()


def test_a_renamed_class_and_no_layer_matched(toy_model, zeros, replay):
    """Sites are module paths, not class names; a path that is gone is an error that names the nearest."""
    toy_model.backbone.layers[0].cross.__class__.__name__ = "CrossAttentionV2"
    clean = replay()
    with xm.patch(toy_model, zeros):
        assert not torch.allclose(replay(), clean)
    pairs = [(Site("layers.0.encoder_attn", 0), lambda call: call.run())]
    with pytest.raises(SiteNotFoundError, match="the nearest are"), intercept(
        toy_model.backbone, pairs, lambda batch: slice(0, batch)):
        pass


def test_forward_signatures_that_drift_between_versions(toy_model, zeros, replay, monkeypatch):
    """No forward is rewritten, so other names, orders and additional arguments do not matter."""
    with xm.patch(toy_model, zeros):
        expected = replay()
    for layer in toy_model.backbone.layers:
        old = layer.cross.forward
        monkeypatch.setattr(layer.cross, "forward", lambda states, cross_attention_states=None, *, old=old, cache=None,
                            **more: old(states, cross_attention_states))
        monkeypatch.setattr(layer, "forward", lambda x, text, layer=layer: (x := x + layer.own(x)) + 3 * layer.cross(
            x, cross_attention_states=text, position_ids=None))
    with xm.patch(toy_model, zeros):
        assert torch.equal(replay(), expected)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_fully_masked_rows_that_give_nan(musicgen, implementation, guidance, rule):
    """MusicGen's unconditional rows are padding throughout; hard zeros take the conditional ones' keys away too."""
    musicgen.backbone.decoder.set_attn_implementation(implementation)
    made = musicgen.generate("a dog barks", guidance=guidance, **SETTINGS)
    tokens = len(made.tokens)
    for mask in (torch.zeros(1, tokens), torch.zeros(1, 13, tokens)):
        mask = mask.clone().requires_grad_()
        with xm.patch(musicgen, mask, rule=rule):
            assert np.isfinite(musicgen.regenerate(made).audio).all()
            states = musicgen.replay(made)
            states.sum().backward()
        assert states.isfinite().all() and mask.grad.isfinite().all()


def test_compiled_before_patching_is_refused(toy_model, zeros, replay):
    """Hooks that come after the compiled graph has run are ignored without a word."""
    toy_model.backbone.layers[0].compile(backend="eager")
    replay()
    with pytest.raises(PatchError, match="compiled before"), xm.patch(toy_model, zeros):
        replay()


def test_compiled_after_patching_is_exact(toy_model, sound, zeros, replay):
    with xm.patch(toy_model, zeros):
        expected = replay()
        compiled = torch.compile(toy_model.backbone, backend="eager")
        with torch.no_grad():
            found = compiled(sound.replay["noise"], toy_model.text(sound.tokens))
    assert torch.allclose(found, expected, atol=1e-6)


def test_gradient_checkpointing_of_the_library(musicgen):
    """The same gradient with and without, through transformers' own switch."""
    made = musicgen.generate("a dog barks", **SETTINGS)
    decoder = musicgen.backbone.decoder

    def gradient():
        mask = torch.full((1, len(made.tokens)), 0.5, requires_grad=True)
        with xm.patch(musicgen, mask) as record:
            musicgen.replay(made).square().mul(torch.arange(24.0)).sum().backward()
        return mask.grad, set(record.forwards.values())

    plain, once = gradient()
    musicgen.backbone.requires_grad_(True)
    musicgen.backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in decoder.train().modules():  # checkpoints in training mode alone
        for name in ("p", "dropout", "attention_dropout", "activation_dropout", "layerdrop"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    kept, twice = gradient()
    assert (once, twice) == ({1}, {2})  # or nothing was computed again, and nothing tested
    torch.testing.assert_close(kept, plain, atol=1e-5, rtol=1e-4)


def test_reentrant_checkpointing_is_an_error_not_a_wrong_gradient(toy_model, sound):
    text, noise = toy_model.text(sound.tokens).detach(), sound.replay["noise"].clone().requires_grad_()

    def gradient(run):
        mask, states = torch.full((1, len(sound.tokens)), 0.5, requires_grad=True), noise
        with xm.patch(toy_model, mask):
            for layer in toy_model.backbone.layers:
                states = run(layer, states)
            F.normalize(states, dim=-1).sum().backward()
        return mask.grad

    expected = gradient(lambda layer, states: layer(states, text))
    try:
        found = gradient(lambda layer, states: checkpoint(layer, states, text, use_reentrant=True))
    except RuntimeError:
        return
    torch.testing.assert_close(found, expected)
