"""Every attribution method on diffusion models: by cell, and true to its own axioms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask.errors import SettingError
from xattnmask.methods.atman import AtMan
from xattnmask.methods.leave_one_out import LeaveOneOut

from .conftest import KEYS, PROMPT

STEPS, BINS = 2, 3
VIEW = {"denoising_steps": STEPS, "bins": BINS}
MASKING = ["random", "atman", "integrated-gradients", "shapley"]
READING = ["rollout", "attention-gradient", "grad-cam"]
FEW = {"integrated-gradients": {"steps": 2}, "shapley": {"orders": 1}}


@pytest.fixture
def made(models):
    def make(key):
        model = models(key)
        return model, model.generate(PROMPT, seed=3, duration=0.6, steps=4)

    return make


def attribute(method, model, generation, **settings):
    found = method.attribute(model, generation, seed=0, on_step=lambda event: None, **VIEW, **settings)
    return found.importance.reshape(STEPS, BINS, -1)


@pytest.mark.parametrize(("key", "method"), [
    *[(key, method) for key in ("audioldm2", "stable-audio") for method in MASKING + READING],
    *[("audioldm", method) for method in MASKING],
])
def test_importance_by_cell(made, key, method):
    pytest.importorskip("captum")
    model, generation = made(key)
    found = xm.explain(model, generation, method=method, **VIEW, **FEW.get(method, {}))
    cells = found.step_time_importance
    assert cells.shape == (STEPS, BINS, len(generation.tokens)) and np.isfinite(cells).all() and cells.std() > 0
    assert found.settings["denoising_steps"] == STEPS and found.settings["bins"] == BINS


@pytest.mark.parametrize("method", READING)
def test_pooled_text_has_no_attention(made, method):
    model, generation = made("audioldm")
    with pytest.raises(SettingError, match="reads the prompt as one vector"):
        xm.explain(model, generation, method=method)


@pytest.mark.parametrize("method", READING)
def test_rows_split_what_does_not_fit(made, method):
    model, generation = made("audioldm2")
    whole, parts = (xm.explain(model, generation, method=method, rows=rows, **VIEW).step_time_importance
                    for rows in (None, 1))
    np.testing.assert_allclose(parts, whole, rtol=1e-3, atol=1e-5 * whole.max())


@pytest.mark.parametrize("key", KEYS)
def test_atman_of_factor_one_changes_nothing_and_of_zero_by_bias_is_leave_one_out(made, key):
    model, generation = made(key)
    alone = attribute(LeaveOneOut(), model, generation, rule="bias")
    assert attribute(AtMan(), model, generation, factor=1.0).max() < 1e-4 * alone.max()
    assert np.array_equal(attribute(AtMan(), model, generation, factor=0.0, rule="bias"), alone)


def gains(forward, words):
    """Scores of the whole prompt less those without its words, [steps, bins]."""
    none, whole = forward(np.stack([np.zeros(words), np.ones(words)])).reshape(2, STEPS, BINS)
    return whole - none


def over_words(cells, generation):
    """The sum over words, each of whose tokens has its value, [steps, bins]."""
    return sum(cells[..., word.tokens[0]] for word in generation.words)


@pytest.mark.parametrize("key", ["audioldm", "audioldm2", "stable-audio"])
def test_shapley_values_add_up_in_each_cell(made, key):
    pytest.importorskip("captum")
    model, generation = made(key)
    expected = gains(xm.masked_forward(model, generation, **VIEW), len(generation.words))
    found = xm.explain(model, generation, method="shapley", orders=1, **VIEW).step_time_importance
    np.testing.assert_allclose(over_words(found, generation), expected, atol=1e-4 * np.abs(expected).max())


def test_integrated_gradients_add_up_in_each_step(made):
    """Over stretches, since a mask in one reaches the others; inside text encoders it takes many points: see below."""
    pytest.importorskip("captum")
    model, generation = made("stable-audio")
    view = {**VIEW, "depth": "cross"}
    expected = gains(xm.masked_forward(model, generation, **view), len(generation.words)).sum(1)
    found = xm.explain(model, generation, method="integrated-gradients", steps=24, **view).step_time_importance
    np.testing.assert_allclose(over_words(found, generation).sum(1), expected, rtol=1e-2)


@pytest.mark.parametrize("key", ["audioldm", "audioldm2"])
def test_integrated_gradients_are_gradients_along_the_way(made, key):
    """In text encoders a weight has most of its effect near 0, and adding up takes many points: so point by point."""
    pytest.importorskip("captum")
    model, generation = made(key)
    words = len(generation.words)
    forward, expected = xm.masked_forward(model, generation, **VIEW), np.zeros((STEPS * BINS, words))
    for place, weight in zip(*np.polynomial.legendre.leggauss(3), strict=True):
        mask = torch.full((1, STEPS * BINS, words), (place + 1) / 2, requires_grad=True)
        forward(mask).sum().backward()
        expected += weight / 2 * mask.grad[0].numpy()
    found = xm.explain(model, generation, method="integrated-gradients", steps=3, **VIEW).step_time_importance
    found = found.reshape(STEPS * BINS, -1)[:, [word.tokens[0] for word in generation.words]]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@torch.no_grad()
def test_rollout_is_the_recurrence_over_cross_attentions(made):
    model, generation = made("stable-audio")
    seen: list[np.ndarray] = []
    tokens, columns = len(generation.tokens), len(generation.positions)

    def add(site, p):
        heard = p.mean(1)[:, 1 : 1 + columns].numpy()  # the first query stands for the whole clip
        bins = ((np.arange(columns) + 0.5) / columns * BINS).astype(int)
        seen.append(np.stack([heard[:, bins == b].mean(1) for b in range(BINS)], 1))

    with xm.capture_attention(model, add, num_tokens=tokens):
        model.denoise(generation, [1, 3])
    flow = np.zeros_like(seen[0])
    for attention in seen:
        flow = 0.5 * flow + 0.5 * attention
    found = xm.explain(model, generation, method="rollout", **VIEW).step_time_importance
    np.testing.assert_allclose(found, flow, atol=1e-6)
    deep = xm.explain(model, generation, method="rollout", depth="encoder", **VIEW).step_time_importance
    np.testing.assert_allclose(deep.sum(-1), found.sum(-1), rtol=1e-4)  # the encoder moves the flow among tokens
    assert not np.allclose(deep, found, rtol=1e-2)
