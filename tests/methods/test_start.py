"""The start of a learned mask from what each word does by itself, by its formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xattnmask.methods.start import PIVOT, SPREAD, at_size, from_effects

STEPS, MOMENTS, TOKENS = 4, 5, 3


@pytest.fixture
def effects():
    return torch.rand(STEPS * MOMENTS, TOKENS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def logits(values, similarity="error"):
    return SPREAD[similarity] * np.log(values / (PIVOT[similarity] * values.max()))


@pytest.mark.parametrize("similarity", ["cosine", "error"])
def test_without_denoising_steps(effects, similarity):
    np.testing.assert_allclose(from_effects(effects, similarity), logits(effects.numpy(), similarity))


def test_the_middle_and_the_order():
    found = from_effects(torch.tensor([[1.0, PIVOT["cosine"], 0.0, 1e-9]]), "cosine")[0]
    assert found[1].abs() < 1e-6 and found[0] == found.max() and found[2] == found[3] == found.min()
    assert torch.isfinite(found).all()


def test_nothing_has_an_effect():
    assert torch.equal(from_effects(torch.zeros(2, 3), "error", 2, torch.zeros(2)), torch.zeros(1, 3))


def test_steps_share_what_a_word_does_at_all_of_them(effects):
    moved = torch.rand(len(effects), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weighed = (moved[:, None] * effects).reshape(STEPS, MOMENTS, TOKENS).sum(0).numpy()
    np.testing.assert_allclose(from_effects(effects, "error", STEPS, moved), logits(weighed))


def test_where_the_text_moves_nothing_no_word_counts(effects):
    moved = torch.ones(STEPS, MOMENTS, dtype=torch.float64)
    moved[:, 2] = 0
    found = from_effects(effects, "error", STEPS, moved.flatten())
    assert found[2].max() < found[[0, 1, 3, 4]].min()


@pytest.mark.parametrize("size", [0.001, 0.3, 0.99])
def test_a_size_is_met_and_the_order_kept(effects, size):
    start = from_effects(effects, "error").float()
    found = at_size(start, size)
    assert torch.sigmoid(found.double()).mean().item() == pytest.approx(size, rel=1e-4)
    assert (found - start).std() < 1e-5
