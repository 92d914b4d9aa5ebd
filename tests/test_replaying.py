"""Masked replays of the toy, against the toy run by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from xattnmask import NumericalError, SettingError
from xattnmask.replaying import Replayer, check_choice, frozen_weights

CONTEXTS = ("none", "frozen", "joint")
POSITIONS, TOKENS = 10, 5


def ones(*shape):
    return torch.ones(*shape, TOKENS)


def alone(model, sound, mask=None):
    """Each position as a sequence of its own (the toy has no positions), and cross-attention written out."""
    backbone, text = model.backbone, model.text(sound.tokens)[0].double()
    states = []
    for position in range(POSITIONS):
        x = sound.replay["noise"][0, position : position + 1].double()
        factor = torch.ones(TOKENS) if mask is None else mask[position]
        for layer in backbone.layers:
            own, cross = layer.own, layer.cross
            x = x + linear(own.o, linear(own.v, x))
            scores = linear(cross.q, x) @ linear(cross.k, text).T / 4
            attended = torch.softmax(scores, -1) * factor @ linear(cross.v, text)
            x = x + 3 * linear(cross.o, attended)
        states.append(torch.nn.functional.layer_norm(x, (16,)))
    return torch.cat(states).float()


def linear(layer, x):
    return x @ layer.weight.double().T + layer.bias.double()


@pytest.mark.parametrize("shape", [(1,), (2,), (1, POSITIONS), (2, POSITIONS)])
@pytest.mark.parametrize("context", ["frozen", "joint"])
@torch.no_grad()
def test_a_mask_of_ones_changes_nothing(toy_model, sound, context, shape):
    replayer = Replayer(toy_model, sound, context=context)
    hidden = replayer.masked(ones(*shape))
    assert torch.allclose(hidden, replayer.clean().expand_as(hidden), atol=2e-6)
    assert (1 - cosine_similarity(hidden, replayer.clean(), dim=-1)).abs().max() < 1e-6


@torch.no_grad()
def test_clean_is_the_models_own_replay(toy_model, sound):
    for context in CONTEXTS:
        assert torch.equal(Replayer(toy_model, sound, context=context).clean(), toy_model.replay(sound)[0])


@torch.no_grad()
def test_isolated_positions_of_a_model_without_positions_are_those_without_history(toy_model, sound):
    mask = torch.rand(2, POSITIONS, TOKENS, generator=torch.Generator().manual_seed(0))
    none, isolated = (Replayer(toy_model, sound, context=context).masked(mask) for context in ("none", "isolated"))
    assert torch.allclose(none, isolated, atol=1e-5)
    with pytest.raises(SettingError, match="depth"):
        Replayer(toy_model, sound, context="isolated", depth="encoder")


@torch.no_grad()
def test_without_history_each_position_is_a_sequence_of_its_own(toy_model, sound):
    replayer = Replayer(toy_model, sound, context="none")
    assert torch.allclose(replayer.clean(history=False), alone(toy_model, sound), atol=1e-5)
    masks = torch.rand(2, POSITIONS, TOKENS, generator=torch.Generator().manual_seed(0))
    for hidden, mask in zip(replayer.masked(masks), masks, strict=True):
        assert torch.allclose(hidden, alone(toy_model, sound, mask), atol=1e-5)


@pytest.mark.parametrize(("context", "reached"), [("none", [4]), ("frozen", [4]), ("joint", [4, 5, 6, 7, 8, 9])])
@torch.no_grad()
def test_which_positions_a_mask_at_one_position_reaches(toy_model, sound, context, reached):
    replayer = Replayer(toy_model, sound, context=context)
    masks = ones(2, POSITIONS)
    masks[1, 4] = 0
    hidden = replayer.masked(masks)
    moved = (hidden[0] - hidden[1]).abs().amax(-1) > 1e-5
    assert moved.nonzero()[:, 0].tolist() == reached


@torch.no_grad()
def test_rule_layers_and_heads_are_passed_on(toy_model, sound):
    mask = torch.full((1, TOKENS), 0.5)
    found = [
        Replayer(toy_model, sound, context="joint", **settings).masked(mask)
        for settings in ({}, {"layers": [0]}, {"layers": "last"}, {"rule": "bias"})
    ]
    clean = Replayer(toy_model, sound).clean()
    assert all(not torch.allclose(found[i], found[j], atol=1e-4) for i in range(3) for j in range(i))
    assert torch.allclose(found[3][0], clean, atol=1e-5)  # the same bias on every key cancels
    with pytest.raises(SettingError, match="heads must be"):
        Replayer(toy_model, sound, context="joint", heads=[1]).masked(mask)


def test_attention_is_a_distribution_over_the_tokens(toy_model, sound):
    found = Replayer(toy_model, sound, context="joint").attention()
    assert found.shape == (POSITIONS, TOKENS) and found.dtype == torch.float32 and not found.requires_grad
    assert torch.allclose(found.sum(-1), torch.ones(POSITIONS), atol=1e-6)


def test_wrong_choices(toy_model, sound):
    with pytest.raises(SettingError, match="context must be one of none, frozen, joint, isolated, not 'past'"):
        Replayer(toy_model, sound, context="past")
    with pytest.raises(SettingError, match="depth must be one of cross, encoder"):
        Replayer(toy_model, sound, depth="deep")
    with pytest.raises(SettingError, match="no site has a role among"):
        Replayer(toy_model, sound, depth="encoder").masked(ones(1))
    with pytest.raises(SettingError, match="must be one of"):
        check_choice("by", ["token"], ("token", "word"))


def test_a_model_whose_history_cannot_be_cut(toy_model, sound, monkeypatch):
    sites = [site for site in toy_model.sites(TOKENS) if site.role != "self"]
    monkeypatch.setattr(type(toy_model), "sites", lambda self, num_tokens: sites)
    for context in ("none", "frozen"):
        with pytest.raises(SettingError, match="'toy' cannot leave out its history: use context='joint'"):
            Replayer(toy_model, sound, context=context)
    Replayer(toy_model, sound, context="joint").masked(ones(1))


def test_a_broken_model_is_named_as_the_cause(toy_model, sound):
    with torch.no_grad():
        toy_model.backbone.layers[1].cross.o.weight[0] = float("nan")
    with pytest.raises(NumericalError, match="unmasked replay gave NaN"):
        Replayer(toy_model, sound).clean()


def test_frozen_weights_are_thawed_again(toy_model):
    wanted = toy_model.backbone.head.weight.requires_grad_(False)
    with pytest.raises(KeyboardInterrupt), frozen_weights(toy_model):
        assert not any(weight.requires_grad for weight in toy_model.backbone.parameters())
        raise KeyboardInterrupt
    assert not wanted.requires_grad
    assert all(weight.requires_grad for weight in toy_model.backbone.parameters() if weight is not wanted)
