"""Sites: they exist, their offsets follow the cache, and masks there act on regenerated audio as in replay."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from xattnmask_transformers.delay import delay

from xattnmask.errors import SettingError
from xattnmask.patching import frozen_history, no_history, patch, record_history

from .test_replay import emitted, heads

PROMPT = "a dog barks then a siren wails"


def test_roles_and_paths(model):
    sites = model.sites(3)
    expected = {"prefix", "text-encoder"} if model.key == "musicgen-melody" else {"cross", "self", "text-encoder"}
    assert {site.role for site in sites} == expected
    for site in sites:
        model.backbone.get_submodule(site.path)
    for role in expected:
        assert [site.layer for site in sites if site.role == role] == [0, 1]


def test_offsets_under_the_cache(model):
    tokens = len(model.tokenize(PROMPT))
    prefix = model.backbone.config.chroma_length + tokens if model.key == "musicgen-melody" else 0
    sites = [site for site in model.sites(tokens) if site.offset is not None]
    seen = {site.path: [] for site in sites}
    hooks = []
    for site in sites:
        def hook(module, args, kwargs, site=site):
            arguments = dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
            arguments |= arguments.pop("kwargs", {})
            seen[site.path].append((site.offset(arguments), arguments["hidden_states"].shape[1]))
        hooks.append(model.backbone.get_submodule(site.path).register_forward_pre_hook(hook, with_kwargs=True))
    try:
        model.generate(PROMPT, duration=0.4)
        generated, seen = seen, {site.path: [] for site in sites}
        model.replay(model.generate(PROMPT, duration=0.4))
    finally:
        for hook in hooks:
            hook.remove()
    steps = 10 + int(model.delays.max())
    for calls in generated.values():
        assert set(calls[:-steps]) <= {(0, prefix + 1)}  # some versions prefill twice
        assert calls[-steps:] == [(0, prefix + 1)] + [(prefix + s, 1) for s in range(1, steps)]
    assert all(calls[-1] == (0, prefix + steps) for calls in seen.values())


def mask_for(model, roles):
    """A mask per query [1, S, L], or shared [1, L] for a text encoder."""
    torch.manual_seed(7)
    tokens = len(model.tokenize(PROMPT))
    return torch.rand(1, tokens) if "text-encoder" in roles else torch.rand(1, 20 + int(model.delays.max()), tokens)


@pytest.mark.parametrize("roles", [("cross",), ("cross", "text-encoder")])
@pytest.mark.parametrize("rule", ["scale", "bias"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@torch.no_grad()
def test_regeneration_equals_replay_under_the_mask(model, logits, guidance, rule, roles):
    if model.key == "musicgen-melody":
        roles = tuple("prefix" if role == "cross" else role for role in roles)
    settings = dict(duration=0.8, guidance=guidance, do_sample=False)
    mask = mask_for(model, roles)
    clean = model.generate(PROMPT, **settings)
    logits.clear()
    with patch(model, mask, rule=rule, roles=roles):
        masked = model.regenerate(clean)
    theirs = torch.stack(logits)
    with patch(model, mask, rule=rule, roles=roles):
        ours = heads(model, model.replay(masked)[0])
    unmasked = heads(model, model.replay(masked)[0])
    torch.testing.assert_close(emitted(masked, ours), emitted(masked, theirs), atol=1e-4, rtol=0)
    assert (emitted(masked, unmasked) - emitted(masked, theirs)).abs().max() > 1e-2
    if guidance > 1:  # the null half is as without the patch
        codebooks = len(model.delays)
        null = heads(model, null_states(model, masked)[0])
        torch.testing.assert_close(emitted(masked, null), emitted(masked, theirs[:, codebooks:]), atol=1e-4, rtol=0)


def null_states(model, generation):
    """Hidden states of the unconditional half, by hand."""
    columns = delay(generation.replay["codes"], model.delays, model.start)
    text = torch.zeros(1, len(generation.tokens), model.backbone.text_encoder.config.hidden_size)
    project = model.backbone.enc_to_dec_proj
    bias, project.bias = project.bias, None
    try:
        return model._decode(columns, model._project(text))
    finally:
        project.bias = bias


@torch.no_grad()
def test_a_mask_of_ones_changes_nothing(model):
    clean = model.generate(PROMPT, duration=0.8, guidance=3.0)
    tokens = len(clean.tokens)
    for mask in (torch.ones(1, tokens), torch.ones(1, 20, tokens)):
        with patch(model, mask):
            assert torch.equal(model.regenerate(clean).replay["codes"], clean.replay["codes"])


def test_gradients_reach_masks_of_both_kinds_in_one_batch(model):
    generation = model.generate(PROMPT, duration=0.4)
    cross = "prefix" if model.key == "musicgen-melody" else "cross"
    mask = torch.full((2, len(generation.tokens)), 0.5, requires_grad=True)
    with patch(model, mask, roles=(cross, "text-encoder"), rule="bias"):
        hidden = model.replay(generation, batch=2)
        hidden[0].square().sum().backward()
    assert mask.grad[0].abs().min() > 0 and mask.grad[1].abs().max() == 0


def without_first_frame(generation):
    """The same generation with other codes in its first frame."""
    other = copy.deepcopy(generation)
    other.replay["codes"][:, 0] = (other.replay["codes"][:, 0] + 5) % 16
    return other


@pytest.mark.parametrize("name", ["musicgen", "stereo"])
@torch.no_grad()
def test_self_sites_carry_the_history(request, name):
    model = request.getfixturevalue(name)
    generation = model.generate(PROMPT, duration=0.8)
    tokens, other = len(generation.tokens), without_first_frame(generation)
    with record_history(model, tokens) as recorded:
        clean = model.replay(generation)
    assert not torch.allclose(model.replay(other)[:, -1], clean[:, -1], atol=1e-5)
    with no_history(model, tokens):
        torch.testing.assert_close(model.replay(other)[:, -1], model.replay(generation)[:, -1])
    with frozen_history(model, tokens, recorded):
        torch.testing.assert_close(model.replay(generation), clean, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.replay(other)[:, -1], clean[:, -1], atol=1e-5, rtol=0)


def test_melody_has_no_history_to_cut(melody):
    with pytest.raises(SettingError, match="self"), no_history(melody, 3):
        pass
