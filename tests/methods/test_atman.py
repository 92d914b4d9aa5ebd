"""AtMan against its formula in float64, and against leave-one-out where the two are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from xattnmask import SettingError, Token, explain, patch, regenerate
from xattnmask.methods.atman import AtMan, like_them
from xattnmask.methods.leave_one_out import LeaveOneOut

TOKENS = 5


def attribute(model, sound, method=None, on_step=lambda event: None, **settings):
    return (method or AtMan()).attribute(model, sound, seed=0, on_step=on_step, **settings)


def linear(layer):
    return lambda x: x @ layer.weight.double().T + layer.bias.double()


@torch.no_grad()
def states(model, sound, factors):
    """Final states in float64 with the scores of cross-attention, from the lowest of each query, times ``factors``."""
    x, text = sound.replay["noise"][0].double(), model.text(sound.tokens)[0].double()
    for layer in model.backbone.layers:
        q, k, v, o = (linear(getattr(layer.own, name)) for name in "qkvo")
        scores = (q(x) @ k(x).T / 4).masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), float("-inf"))
        x = x + o(torch.softmax(scores, -1) @ v(x))
        q, k, v, o = (linear(getattr(layer.cross, name)) for name in "qkvo")
        scores = q(x) @ k(text).T / 4
        scores = (scores - scores.min(-1, keepdim=True).values) * factors
        x = x + 3 * o(torch.softmax(scores, -1) @ v(text))
    return layer_norm(x, (16,)).numpy()


def turned(a, b):
    return 1 - (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


@pytest.mark.parametrize("factor", [0.1, 0.6, 0.0])
def test_it_is_the_formula(toy_model, sound, factor):
    found = attribute(toy_model, sound, factor=factor)
    clean = states(toy_model, sound, torch.ones(TOKENS))
    for token in range(TOKENS):
        factors = torch.ones(TOKENS)
        factors[token] = factor
        expected = turned(states(toy_model, sound, factors), clean)
        np.testing.assert_allclose(found.importance[:, token], expected, atol=1e-6)


@pytest.mark.parametrize("rule", ["suppress", "bias"])
def test_a_factor_of_one_changes_nothing(toy_model, sound, rule):
    assert attribute(toy_model, sound, factor=1.0, rule=rule).importance.max() < 1e-6


@pytest.mark.parametrize("context", ["joint", "frozen", "none"])
def test_full_suppression_by_bias_is_leave_one_out(toy_model, sound, context):
    found = attribute(toy_model, sound, factor=0.0, rule="bias", context=context)
    alone = attribute(toy_model, sound, LeaveOneOut(), rule="bias", context=context)
    np.testing.assert_array_equal(found.importance, alone.importance)


def test_more_suppression_changes_more(toy_model, sound):
    means = [attribute(toy_model, sound, factor=factor).importance.mean() for factor in (0.9, 0.5, 0.1)]
    assert means == sorted(means)


def test_a_concept_is_suppressed_together(toy_model):
    """The same word twice has cosine 1 with itself: suppressing either suppresses both."""
    sound = toy_model.generate("dog and dog", seed=1, duration=0.4)
    found = attribute(toy_model, sound, concept=1.0).importance
    alone = attribute(toy_model, sound).importance
    factors = torch.tensor([0.1, 1.0, 0.1, 1.0])
    expected = turned(states(toy_model, sound, factors), states(toy_model, sound, torch.ones(4)))
    for token in (0, 2):
        np.testing.assert_allclose(found[:, token], expected, atol=1e-6)
    np.testing.assert_array_equal(found[:, [1, 3]], alone[:, [1, 3]])


def test_the_less_alike_the_less_suppressed():
    embeddings = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 2.0]])  # cosines with the first: 1, .8, 0
    found = like_them(embeddings, [(0,), (0, 2)], 0.1, 0.5)
    assert torch.allclose(found, torch.tensor([[0.1, 0.1 + 0.9 * 0.2, 1.0], [0.1, 0.1 + 0.9 * 0.2, 0.1]]))
    assert torch.allclose(like_them(embeddings, [(0,)], 0.1, 0.9), torch.tensor([[0.1, 1.0, 1.0]]))


def test_a_model_without_embeddings_says_so(toy_model, sound, monkeypatch):
    monkeypatch.setattr(type(toy_model), "token_embeddings", type(toy_model).__mro__[1].token_embeddings)
    with pytest.raises(SettingError, match="'toy' gives no token embeddings to compare: use concept=None"):
        attribute(toy_model, sound, concept=0.7)
    attribute(toy_model, sound)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_any_batch_is_the_same(toy_model, sound, batch):
    events = []
    found = attribute(toy_model, sound, batch=batch, concept=0.2, on_step=events.append)
    np.testing.assert_allclose(found.importance, attribute(toy_model, sound, concept=0.2).importance, atol=1e-6)
    assert [event.step for event in events] == list(range(-(-TOKENS // batch)))


def test_a_word_goes_with_all_its_tokens(toy_model, sound):
    tokens = (*sound.tokens[:3], Token(5, "loud", 12, 16), Token(6, "ly", 16, 18), sound.tokens[-1])
    sound = replace(sound, tokens=tokens)
    word, token = (attribute(toy_model, sound, by=by).importance for by in ("word", "token"))
    assert np.array_equal(word[:, 3], word[:, 4]) and not np.allclose(token[:, 3], token[:, 4], atol=1e-4)


def test_audio_is_made_again_by_a_rule_that_takes_words_away(toy_model, sound):
    explanation = replace(explain(toy_model, sound, method="atman"), importance=np.zeros((10, TOKENS), np.float32))
    assert explanation.settings["rule"] == "suppress"
    with patch(toy_model, torch.zeros(1, TOKENS)):
        without = toy_model.regenerate(sound).audio
    np.testing.assert_allclose(regenerate(toy_model, sound, explanation)["factual"], without, atol=1e-6)


@pytest.mark.parametrize(("name", "value"), [
    ("factor", 1.1), ("factor", -0.1), ("rule", "scale"), ("concept", 2.0), ("by", "sentence"), ("batch", 0),
    ("context", "past"), ("similarity", "l2"), ("depth", "deep"),
])
def test_wrong_settings(name, value):
    with pytest.raises(SettingError, match=name):
        AtMan().steps(**{name: value})
