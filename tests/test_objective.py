"""The loss against the paper's formulas in float64 numpy, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xattnmask.objective import batch_masks, penalty, terms
from xattnmask.replaying import Replayer

ALPHA, BETA = 1e-3, 0.1


def cosine(a, b):
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


@pytest.fixture
def numbers():
    random = np.random.default_rng(0)
    return random.normal(size=(2, 7, 6)), random.normal(size=(7, 6)), random.uniform(size=(7, 4))


@pytest.mark.parametrize("objective", ["both", "factual", "counterfactual"])
def test_terms(numbers, objective):
    hidden, target, _ = numbers
    rows = {"both": hidden, "factual": hidden[:1], "counterfactual": hidden[1:]}[objective]
    found = terms(*(torch.tensor(x) for x in (rows, target)), objective)
    factual, counterfactual = 1 - cosine(hidden[0], target), cosine(hidden[1], target)
    parts = {"both": factual + counterfactual, "factual": factual, "counterfactual": counterfactual}[objective]
    assert found.total.item() == pytest.approx(parts.sum(), rel=1e-5)
    sums = found.sums()
    assert ("factual" in sums, "counterfactual" in sums) == (objective != "counterfactual", objective != "factual")
    if objective != "counterfactual":
        np.testing.assert_allclose(found.factual.numpy(), factual, rtol=1e-5, atol=1e-6)
        assert sums["factual"] == pytest.approx(factual.sum(), rel=1e-5)
    if objective != "factual":
        np.testing.assert_allclose(found.counterfactual.numpy(), counterfactual, rtol=1e-5, atol=1e-6)


def test_penalty(numbers):
    mask = numbers[2]
    expected = ALPHA * np.abs(mask).sum() + BETA * np.sqrt((mask**2).sum())
    assert penalty(torch.tensor(mask), alpha=ALPHA, beta=BETA).item() == pytest.approx(expected)


def test_relative_errors(numbers):
    hidden, target, _ = numbers
    blank = np.random.default_rng(1).normal(size=target.shape)
    moved = ((target - blank) ** 2).sum(-1)
    far = ((hidden - target) ** 2).sum(-1) / moved
    found = terms(*(torch.tensor(x) for x in (hidden, target)), "both", torch.tensor(blank))
    np.testing.assert_allclose(found.factual.numpy(), far[0], rtol=1e-5)
    np.testing.assert_allclose(found.counterfactual.numpy(), np.maximum(1 - far[1], 0), rtol=1e-4, atol=1e-6)


def test_a_position_that_no_token_moves_counts_for_little():
    target = torch.ones(2, 3)
    blank = target.clone()
    blank[0] += 1
    found = terms(target.expand(2, -1, -1) + 1e-6, target, "both", blank)
    assert found.factual.max() < 1e-5 and found.factual.isfinite().all()


def test_masks_of_one_forward():
    mask = torch.tensor([[0.25, 1.0]])
    assert batch_masks(mask, "both").tolist() == [[[0.25, 1.0]], [[0.75, 0.0]]]
    assert batch_masks(mask, "factual").tolist() == [[[0.25, 1.0]]]
    assert batch_masks(mask, "counterfactual").tolist() == [[[0.75, 0.0]]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_states_give_float32_terms(dtype):
    hidden = torch.full((2, 3, 400), 60.0, dtype=dtype)  # its squares would overflow float16
    found = terms(hidden, hidden[0], "both")
    assert found.total.dtype == found.factual.dtype == torch.float32
    assert found.factual.abs().max() < 1e-6 and (found.counterfactual - 1).abs().max() < 1e-6


def test_a_mask_of_zeros_has_a_finite_gradient():
    mask = torch.zeros(3, 2, requires_grad=True)
    penalty(mask, alpha=ALPHA, beta=BETA).backward()
    assert mask.grad.isfinite().all()


@pytest.mark.parametrize("context", ["none", "frozen", "joint"])
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_gradient_through_the_model_matches_differences(toy_model, sound, context, rule):
    replayer = Replayer(toy_model, sound, context=context, rule=rule)
    target = replayer.clean()

    def loss(logits):
        mask = torch.sigmoid(logits)
        hidden = replayer.masked(batch_masks(mask, "both"))
        return terms(hidden, target, "both").total + penalty(mask, alpha=ALPHA, beta=BETA)

    generator = torch.Generator().manual_seed(0)
    logits, direction = (torch.randn(10, 5, generator=generator) for _ in range(2))
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    with torch.no_grad():
        difference = (loss(logits + 0.01 * direction) - loss(logits - 0.01 * direction)) / 0.02
    assert (gradient * direction).sum().item() == pytest.approx(difference.item(), rel=5e-3, abs=2e-3)
