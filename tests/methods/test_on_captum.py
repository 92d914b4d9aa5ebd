"""Integrated gradients and Shapley values by their axioms, and the library that is not there."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from xattnmask import MissingLibraryError, SettingError, Token, explain, masked_forward
from xattnmask.methods.integrated_gradients import IntegratedGradients
from xattnmask.methods.shapley import Shapley

WORDS, TOKENS = 4, 5


def attribute(method, model, sound, seed=0, on_step=lambda event: None, **settings):
    pytest.importorskip("captum")
    return method.attribute(model, sound, seed=seed, on_step=on_step, **settings)


def gain(model, sound, **settings):
    """Scores of the whole prompt less those without its words, [positions]."""
    none, whole = masked_forward(model, sound, **settings)(np.eye(2)[:, :1] @ np.ones((1, WORDS)))[::-1]
    return whole - none


@pytest.mark.parametrize("score", ["cosine", "error", "advance"])
@pytest.mark.parametrize("context", ["none", "frozen"])
def test_integrated_gradients_are_complete_at_each_position(toy_model, sound, context, score):
    expected = gain(toy_model, sound, context=context, score=score)
    assert expected.max() > 1e-2
    found = attribute(IntegratedGradients(), toy_model, sound, context=context, score=score, steps=32)
    np.testing.assert_allclose(found.importance.sum(1), expected, atol=2e-6)
    assert (found.importance[:, -1] == 0).all()  # the special token is of no word
    assert found.settings["context"] == context and found.settings["score"] == score


def test_integrated_gradients_are_complete_over_positions_where_they_reach_each_other(toy_model, sound):
    found = attribute(IntegratedGradients(), toy_model, sound, context="joint", steps=32)
    expected = gain(toy_model, sound, context="joint")
    assert found.importance.sum() == pytest.approx(expected.sum(), abs=1e-5)
    assert np.abs(found.importance.sum(1) - expected).max() > 1e-3


@pytest.mark.parametrize("score", ["cosine", "error", "advance"])
@pytest.mark.parametrize("orders", [1, 7])
def test_shapley_values_are_efficient(toy_model, sound, score, orders):
    found = attribute(Shapley(), toy_model, sound, score=score, orders=orders)
    np.testing.assert_allclose(found.importance.sum(1), gain(toy_model, sound, score=score), atol=1e-5)
    assert found.settings["context"] == "joint" and (found.importance[:, -1] == 0).all()


def test_shapley_values_are_mean_gains_over_orders(toy_model, sound):
    found = attribute(Shapley(), toy_model, sound, seed=3, orders=5).importance
    generator, forward = torch.Generator().manual_seed(3), masked_forward(toy_model, sound)
    expected = np.zeros((10, TOKENS))
    for _ in range(5):
        mask = np.zeros(WORDS)
        before = forward(mask[None])[0]
        for word in torch.randperm(WORDS, generator=generator).tolist():
            mask[word] = 1
            now = forward(mask[None])[0]
            expected[:, word] += (now - before) / 5
            before = now
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_seed_repeats_shapley_values_and_leaves_torchs_generator_alone(toy_model, sound):
    state = torch.random.get_rng_state()
    first, again, other = (attribute(Shapley(), toy_model, sound, seed, orders=2).importance for seed in (0, 0, 5))
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=1e-5)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_two_words_that_do_the_same_share(toy_model):
    """Symmetry: over all orders the same word twice has the same value both times, at every position."""
    sound = toy_model.generate("dog dog", seed=1, duration=0.4)
    found = attribute(Shapley(), toy_model, sound, orders=200).importance
    np.testing.assert_allclose(found[:, 0].mean(), found[:, 1].mean(), rtol=0.2)
    paths = attribute(IntegratedGradients(), toy_model, sound).importance
    np.testing.assert_allclose(paths[:, 0], paths[:, 1], atol=1e-5)


@pytest.mark.parametrize("method", [IntegratedGradients(), Shapley()])
def test_a_words_tokens_share_its_value(toy_model, sound, method):
    tokens = (*sound.tokens[:3], Token(5, "loud", 12, 16), Token(6, "ly", 16, 18), sound.tokens[-1])
    found = attribute(method, toy_model, replace(sound, tokens=tokens)).importance
    assert np.array_equal(found[:, 3], found[:, 4]) and found[:, 3].any()


@pytest.mark.parametrize("method", [IntegratedGradients(), Shapley()])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_batch_is_the_same(toy_model, sound, method, batch):
    whole, parts = (attribute(method, toy_model, sound, batch=b).importance for b in (8, batch))
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_events_count_the_forwards(toy_model, sound):
    events = []
    attribute(Shapley(), toy_model, sound, orders=3, batch=2, on_step=events.append)
    assert [event.step for event in events] == list(range(7)) and {event.steps for event in events} == {7}


def test_weights_are_left_as_they_were(toy_model, sound):
    weights = [weight for weight in toy_model.backbone.parameters() if weight.requires_grad]
    with torch.no_grad():
        attribute(IntegratedGradients(), toy_model, sound)
    assert weights and all(weight.requires_grad and weight.grad is None for weight in weights)


@pytest.mark.parametrize("method", ["integrated-gradients", "shapley"])
def test_without_captum_the_error_says_what_to_type(toy_model, sound, monkeypatch, method):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingLibraryError, match=r'pip install "xattnmask\[captum\]"'):
        explain(toy_model, sound, method=method)


@pytest.mark.parametrize(("method", "name", "value"), [
    (Shapley(), "orders", 0), (Shapley(), "score", "loss"), (Shapley(), "batch", 0), (Shapley(), "rule", "suppress"),
    (IntegratedGradients(), "steps", 1), (IntegratedGradients(), "context", "past"),
    (IntegratedGradients(), "by", "letter"), (IntegratedGradients(), "depth", "deep"),
])
def test_wrong_settings(method, name, value):
    with pytest.raises(SettingError, match=name):
        method.steps(**{name: value})
