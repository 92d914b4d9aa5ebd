"""Sampling against the distribution it stands for."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from xattnmask import SettingError
from xattnmask.masks import Temperature, probabilities, sample

DRAWS = 40_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("logit", [-2.0, 0.0, 0.7, 3.0])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_hard_keeps_a_token_with_probability_sigmoid_of_its_logit(logit, temperature):
    kept = sample(torch.full((DRAWS,), logit), "hard", temperature, generator()).mean().item()
    expected = 1 / (1 + math.exp(-logit))
    assert abs(kept - expected) < 4 * math.sqrt(expected * (1 - expected) / DRAWS)


def test_soft_is_logistic_noise_over_the_temperature():
    """The difference of two Gumbel variables is logistic: its quantiles are known."""
    noise = torch.logit(sample(torch.zeros(DRAWS), "soft", 1.0, generator()))
    for quantile in (0.1, 0.25, 0.5, 0.9):
        assert torch.quantile(noise, quantile).item() == pytest.approx(math.log(quantile / (1 - quantile)), abs=0.06)
    warm = torch.logit(sample(torch.ones(DRAWS), "soft", 4.0, generator()))
    middle = noise.abs() < 6  # a sigmoid near 1 has no digits left for more
    assert torch.allclose(warm[middle], (noise[middle] + 1) / 4, atol=1e-3)


def test_soft_sharpens_as_the_temperature_falls():
    spread = [(sample(torch.zeros(DRAWS), "soft", t, generator()) - 0.5).abs().mean() for t in (3.0, 1.0, 0.1)]
    assert spread == sorted(spread) and spread[-1] > 0.45


def test_hard_is_exactly_zero_or_one_with_the_gradient_of_soft():
    logits = torch.linspace(-4, 4, 500, requires_grad=True)
    hard, soft = (sample(logits, kind, 0.7, generator(3)) for kind in ("hard", "soft"))
    assert set(hard.tolist()) == {0.0, 1.0}
    assert torch.equal(hard, (soft > 0.5).float())
    gradients = [torch.autograd.grad(mask.sum(), logits)[0] for mask in (hard, soft)]
    assert torch.equal(*gradients) and bool((gradients[0] > 0).all())


def test_none_is_the_sigmoid_and_draws_nothing():
    logits, draws = torch.tensor([[-1.0, 0.0, 2.0]]), generator()
    before = draws.get_state()
    assert torch.allclose(sample(logits, "none", 2.0, draws), 1 / (1 + torch.exp(-logits / 2)))
    assert torch.equal(draws.get_state(), before)


def test_every_sample_and_its_complement_lie_in_the_unit_interval():
    logits = torch.tensor([-200.0, -20.0, 0.0, 20.0, 200.0]).expand(2000, -1)
    for kind in ("none", "soft", "hard"):
        mask = sample(logits, kind, 0.05, generator())
        for values in (mask, 1 - mask):
            assert values.isfinite().all() and values.min() >= 0 and values.max() <= 1


def test_the_mask_without_noise():
    logits = torch.tensor([1.0])
    assert probabilities(logits, "none", 0.5).item() == pytest.approx(1 / (1 + math.exp(-2)))
    assert probabilities(logits, "soft", 0.5).item() == pytest.approx(1 / (1 + math.exp(-1)))


def test_seeds():
    logits = torch.zeros(4, 5)
    assert torch.equal(sample(logits, "soft", 1.0, generator(1)), sample(logits, "soft", 1.0, generator(1)))
    assert not torch.equal(sample(logits, "soft", 1.0, generator(1)), sample(logits, "soft", 1.0, generator(2)))


def test_unknown_sampling():
    with pytest.raises(SettingError, match="sampling must be one of none, soft, hard"):
        sample(torch.zeros(1), "gumbel", 1.0, generator())


def test_schedule_reaches_both_ends_by_equal_ratios():
    values = [Temperature(5.0, 0.05).at(step, 11) for step in range(11)]
    assert values[0] == 5.0 and values[-1] == pytest.approx(0.05)
    ratios = [b / a for a, b in itertools.pairwise(values)]
    assert ratios == pytest.approx([0.01**0.1] * 10)
    assert Temperature(2.0, 0.5).at(0, 1) == 2.0
    assert Temperature(2.0, 2.0).at(7, 9) == 2.0


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_temperatures_out_of_range(wrong):
    for arguments in ((wrong, 1.0), (1.0, wrong)):
        with pytest.raises(SettingError, match="temperatures must be above 0"):
            Temperature(*arguments)
