"""The forms a mask's parameters take, against the same networks written position by position."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xattnmask import Adapter, PluginError, SettingError
from xattnmask.masks import Logits, PooledMLP, StepwiseMLP, build_parameters

POSITIONS, TOKENS, WIDTH = 10, 5, 16


def build(kind, model, sound, seed=0, **more):
    return build_parameters(kind, model, sound, POSITIONS, seed=seed, **more)


def test_logits_start_where_they_are_told(toy_model, sound):
    made = build("logits", toy_model, sound, start=1.5)
    assert isinstance(made, Logits)
    assert torch.equal(made(), torch.full((POSITIONS, TOKENS), 1.5))
    assert made().dtype == torch.float32 and made().requires_grad


def test_stepwise_mlp_is_one_network_a_position(toy_model, sound):
    made = build("mlp", toy_model, sound)
    assert isinstance(made, StepwiseMLP)
    shapes = {name: tuple(value.shape) for name, value in made.named_parameters()}
    assert shapes == {
        "inner": (POSITIONS, WIDTH, 512), "inner_bias": (POSITIONS, 1, 512), "slope": (POSITIONS, 1, 1),
        "outer": (POSITIONS, 512, 1), "outer_bias": (POSITIONS, 1, 1),
    }
    text = toy_model.token_embeddings(sound)
    for position in range(POSITIONS):
        network = nn.Sequential(nn.Linear(WIDTH, 512), nn.PReLU(), nn.Linear(512, 1))
        with torch.no_grad():
            network[0].weight.copy_(made.inner[position].T)
            network[0].bias.copy_(made.inner_bias[position, 0])
            network[1].weight.fill_(made.slope[position].item())
            network[2].weight.copy_(made.outer[position].T)
            network[2].bias.copy_(made.outer_bias[position, 0])
            assert torch.allclose(made()[position], network(text)[:, 0], atol=1e-5)


def test_stepwise_networks_do_not_share_anything(toy_model, sound):
    made = build("mlp", toy_model, sound)
    made()[3].sum().backward()
    touched = {p for value in made.parameters() for p in value.grad.flatten(1).abs().sum(1).nonzero()[:, 0].tolist()}
    assert touched == {3}


def test_starting_values_are_those_of_torch_linear(toy_model, sound):
    made, reference = build("mlp", toy_model, sound), nn.Linear(WIDTH, 512)
    bound = WIDTH**-0.5
    for value in (made.inner, made.inner_bias):
        assert value.abs().max() <= bound and value.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert reference.weight.abs().max() <= bound
    assert made.outer.abs().max() <= 512**-0.5


def test_pooled_mlp_reads_token_and_audio(toy_model, sound):
    made = build("mlp-history", toy_model, sound)
    assert isinstance(made, PooledMLP)
    text, audio = toy_model.token_embeddings(sound), toy_model.audio_embeddings(sound)
    pair = torch.cat([text[2], audio[7]])
    assert torch.allclose(made()[7, 2], made.network(pair)[0], atol=1e-6)
    assert made().shape == (POSITIONS, TOKENS)


@pytest.mark.parametrize("kind", ["mlp", "mlp-history"])
def test_the_seed_fixes_the_start_and_nothing_else_changes(toy_model, sound, kind):
    before = torch.get_rng_state()
    first, again, other = (build(kind, toy_model, sound, seed=seed)() for seed in (4, 4, 5))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_adapter_without_embeddings_says_what_to_use(toy_model, sound, monkeypatch):
    for name in ("token_embeddings", "audio_embeddings"):
        monkeypatch.setattr(type(toy_model), name, getattr(Adapter, name))
    with pytest.raises(SettingError, match="'toy' gives no token embeddings: use parameters='logits'"):
        build("mlp", toy_model, sound)


@pytest.mark.parametrize("name", ["token_embeddings", "audio_embeddings"])
def test_embeddings_of_a_wrong_length_are_the_adapters_fault(toy_model, sound, monkeypatch, name):
    monkeypatch.setattr(type(toy_model), name, lambda self, generation: torch.zeros(12, WIDTH))
    with pytest.raises(PluginError, match=rf"{name.replace('_', ' ')} of adapter 'toy' are \[12, 16\] where \["):
        build("mlp-history", toy_model, sound)


def test_unknown_parameters(toy_model, sound):
    with pytest.raises(SettingError, match="parameters must be one of logits, mlp, mlp-history"):
        build("tree", toy_model, sound)
