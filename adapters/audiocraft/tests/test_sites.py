"""Sites: they exist, their offsets follow the stream, and masks there act on regenerated audio as in replay."""

from __future__ import annotations

import copy

import pytest
import torch

from xattnmask.patching import capture_attention, frozen_history, no_history, patch, record_history

from .conftest import PROMPT, emitted, heads

SDPA = ["audiogen", "several", "torch", "stereo", "parallel"]
"""Kinds whose keys and values can be recorded; the other has an explicit softmax."""


def module_at(model, path):
    module = model.backbone
    for name in path.split("."):
        module = getattr(module, name)
    return module


def test_roles_and_paths(model):
    sites = model.sites(3)
    for role in ("cross", "self", "text-encoder"):
        assert [site.layer for site in sites if site.role == role] == [0, 1]
    for site in sites:
        assert module_at(model, site.path)


@pytest.mark.parametrize("two_step", [False, True])
def test_offsets_follow_the_stream(model, two_step):
    sites = [site for site in model.sites(5) if site.offset is not None]
    seen = {site.path: [] for site in sites}

    def hook(site):
        return lambda module, args: seen[site.path].append((site.offset({}), args[0].shape[1]))

    hooks = [module_at(model, site.path).register_forward_pre_hook(hook(site)) for site in sites]
    try:
        generation = model.generate(PROMPT, duration=0.4, two_step_cfg=two_step)
        generated, seen = seen, {site.path: [] for site in sites}
        model.replay(generation)
    finally:
        for handle in hooks:
            handle.remove()
    steps = int(generation.positions.max()) + 1
    calls = [(step, 1) for step in range(steps) for _ in range(1 + two_step)]
    assert len(generated) == 4 and all(found == calls for found in generated.values())
    assert all(found == [(0, steps)] for found in seen.values())


def mask_for(model, roles):
    """A mask per position [1, S, L], or shared [1, L] for a text encoder."""
    torch.manual_seed(7)
    tokens = len(model.tokenize(PROMPT))
    return torch.rand(1, tokens) if "text-encoder" in roles else torch.rand(1, 23, tokens)


@pytest.mark.parametrize("two_step", [False, True])
@pytest.mark.parametrize("roles", [("cross",), ("cross", "text-encoder")])
@pytest.mark.parametrize("rule", ["scale", "bias"])
@torch.no_grad()
def test_regeneration_equals_replay_under_the_mask(model, logits, rule, roles, two_step):
    settings = {"duration": 0.8, "use_sampling": False, "two_step_cfg": two_step}
    mask = mask_for(model, roles)
    clean = model.generate(PROMPT, **settings)
    logits.clear()
    with patch(model, mask, rule=rule, roles=roles):
        masked = model.regenerate(clean)
    theirs, null = (torch.stack(logits[::2])[:, 0], torch.stack(logits[1::2])[:, 0]) if two_step else (
        torch.stack(logits)[:, 0], torch.stack(logits)[:, 1])
    with patch(model, mask, rule=rule, roles=roles):
        ours = heads(model, model.replay(masked)[0])
    unmasked = heads(model, model.replay(masked)[0])
    torch.testing.assert_close(emitted(masked, ours), emitted(masked, theirs), atol=1e-4, rtol=0)
    assert (emitted(masked, unmasked) - emitted(masked, theirs)).abs().max() > 1e-2
    without = heads(model, model._decode(model._columns(masked), model.conditions.encode(None))[0])
    torch.testing.assert_close(emitted(masked, without), emitted(masked, null), atol=1e-4, rtol=0)


@pytest.mark.parametrize("two_step", [False, True])
@torch.no_grad()
def test_a_mask_of_ones_changes_nothing(model, two_step):
    clean = model.generate(PROMPT, duration=0.8, two_step_cfg=two_step)
    tokens = len(clean.tokens)
    for mask in (torch.ones(1, tokens), torch.ones(1, 23, tokens)):
        with patch(model, mask):
            assert torch.equal(model.regenerate(clean).replay["codes"], clean.replay["codes"])


@torch.no_grad()
def test_a_token_taken_away_is_a_key_taken_away(model):
    """The rule bias at 0 against audiocraft's own forward with that key column of the conditions cut out."""
    generation = model.generate(PROMPT, duration=0.4)
    tokens, taken = len(generation.tokens), 1
    mask = torch.ones(1, tokens)
    mask[0, taken] = 0
    with patch(model, mask, rule="bias"):
        ours = model.replay(generation)
    conditions = model.conditions.encode(PROMPT)
    text, kept = conditions["description"]
    rest = [token for token in range(tokens) if token != taken]
    theirs = model._decode(model._columns(generation), {**conditions, "description": (text[:, rest], kept[:, rest])})
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_description_is_found_among_several_conditions(models):
    """Here the keys are [genre, description, mood], genre and mood one each; tempo is added to the audio instead."""
    model = models["several"]
    generation, seen = model.generate(PROMPT, duration=0.4), []
    tokens = len(generation.tokens)
    with capture_attention(model, lambda site, found: seen.append(found), num_tokens=tokens):
        model.replay(generation)
    assert models["audiogen"].conditions.first_key == 0 and model.conditions.first_key == 1
    assert all(found.shape[-1] == tokens and (found.sum(-1) < 1 - 1e-4).all() for found in seen)
    conditions = model.conditions.encode(PROMPT)
    assert {name: condition.shape[1] for name, (condition, _) in conditions.items()} == {
        "genre": 1, "tempo": 1, "description": tokens, "mood": 1}
    _, keys = model.backbone.fuser(model._embed(model._columns(generation)), conditions)
    assert keys.shape[1] == tokens + 2 and torch.equal(keys[:, 1 : 1 + tokens], conditions["description"][0])


def test_gradients_reach_masks_of_both_kinds_in_one_batch(model):
    generation = model.generate(PROMPT, duration=0.4)
    mask = torch.full((2, len(generation.tokens)), 0.5, requires_grad=True)
    with patch(model, mask, roles=("cross", "text-encoder"), rule="bias"):
        model.replay(generation, batch=2)[0].square().sum().backward()
    assert mask.grad[0].abs().min() > 0 and mask.grad[1].abs().max() == 0


@pytest.mark.parametrize("kind", SDPA)
@torch.no_grad()
def test_self_sites_carry_the_history(models, kind):
    model = models[kind]
    generation = model.generate(PROMPT, duration=0.8)
    tokens, other = len(generation.tokens), copy.deepcopy(generation)
    other.replay["codes"][:, 0] = (other.replay["codes"][:, 0] + 5) % 16
    with record_history(model, tokens) as recorded:
        clean = model.replay(generation)
    assert not torch.allclose(model.replay(other)[:, -1], clean[:, -1], atol=1e-5)
    with no_history(model, tokens):
        torch.testing.assert_close(model.replay(other)[:, -1], model.replay(generation)[:, -1])
    with frozen_history(model, tokens, recorded):
        torch.testing.assert_close(model.replay(generation), clean, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.replay(other)[:, -1], clean[:, -1], atol=1e-5, rtol=0)
