from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xattnmask.results import diagnose
from xattnmask.results.diagnostics import spearman
from xattnmask.text import Token


@pytest.fixture
def clear(make):
    """Builds an explanation without faults: dog and siren matter throughout."""
    def build(**changes):
        importance = np.full((40, 11), 0.05)
        importance[:, [1, 7]] = 0.9, 0.8
        importance[:, 3] = 0.3
        return make(**{"importance": importance, "losses": {"factual": [0.5, 0.02], "counterfactual": [0.9, 0.2]},
                       **changes})
    return build


def test_nothing_to_say(clear):
    assert diagnose(clear()) == ()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_near_uniform(clear, value):
    noise = np.random.default_rng(0).normal(0, 0.005, (40, 11)) * (value > 0)
    noise[:, 9:] = 5
    (sentence,) = diagnose(clear(importance=value + noise))
    assert "nearly uniform" in sentence


def test_short_event_is_not_uniform(clear):
    importance = np.zeros((40, 11))
    importance[10:12, 1] = 1
    assert diagnose(clear(importance=importance)) == ()


def test_one_word_may_be_uniform(make):
    e = make(prompt="rain", tokens=(Token(1, "rain", 0, 4),), importance=np.full((40, 1), 0.7), attention=None)
    assert diagnose(e) == ()


def test_ignoring_the_text(clear):
    (sentence,) = diagnose(clear(losses={"factual": [0.1, 0.02], "counterfactual": [0.99, 0.97]}))
    assert "may be ignoring the text" in sentence and "0.97" in sentence


def test_a_frozen_history_keeps_the_states_in_place(clear):
    losses = {"factual": [0.1, 0.02], "counterfactual": [0.99, 0.97]}
    assert diagnose(clear(losses=losses, settings={"context": "frozen"})) == ()
    (sentence,) = diagnose(clear(losses=losses | {"counterfactual": [1.0, 0.999]}, settings={"context": "frozen"}))
    assert "may be ignoring the text" in sentence


def test_what_the_text_changes_stays(clear):
    """By squared errors the counterfactual loss is no cosine."""
    losses, settings = {"factual": [0.1, 0.02], "counterfactual": [0.99, 0.97]}, {"similarity": "error"}
    (sentence,) = diagnose(clear(losses=losses, settings=settings))
    assert sentence.startswith("Without the important words 97% of what the text changes is still there")
    assert diagnose(clear(losses=losses | {"counterfactual": [0.9]}, settings=settings)) == ()


def test_factual_high_and_counterfactual_low(clear):
    (sentence,) = diagnose(clear(losses={"factual": [0.9, 0.4], "counterfactual": [0.9, 0.1]}))
    assert "do not bring the sound back" in sentence
    assert diagnose(clear(losses={"factual": [0.9, 0.4], "counterfactual": [0.9, 0.7]})) == ()


@pytest.mark.parametrize("losses", [{}, {"factual": [0.9]}, {"counterfactual": []}, {"counterfactual": [None]},
                                    {"counterfactual": [7.0]}, {"factual": [-3.0], "counterfactual": [0.1]}])
def test_curves_that_are_absent_or_no_cosines(clear, losses):
    assert diagnose(clear(losses=losses)) == ()


def test_interval_that_disagrees(clear):
    importance = np.tile(np.linspace(0.9, 0.1, 11), (40, 1))
    importance[30:] = importance[30:, ::-1]
    (sentence,) = diagnose(clear(importance=importance))
    assert "From 2.67 to 4.00 s" in sentence and '"siren" matters most there' in sentence


def test_two_words_are_too_few_to_disagree(clear):
    tokens = (Token(1, "dog", 0, 3), Token(2, "siren", 4, 9))
    importance = np.array([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 10)
    assert diagnose(clear(prompt="dog siren", tokens=tokens, importance=importance, attention=None)) == ()


def test_not_converged(clear):
    assert diagnose(clear(converged=False)) == ("The optimisation had not settled after 2 steps: try more steps.",)
    assert diagnose(clear(converged=None)) == ()


def test_one_frame(clear):
    assert diagnose(clear(times=[0.0, 4.0], importance=np.arange(11)[None], attention=None)) == ()


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=12), st.randoms())
def test_spearman(values, random):
    a = np.array(values, dtype=float)
    b = np.array(random.sample(values, len(values)), dtype=float)
    constant = len(set(values)) == 1
    assert spearman(a, a) == pytest.approx(0.0 if constant else 1.0)
    assert spearman(a, -a) == pytest.approx(0.0 if constant else -1.0)
    assert spearman(a, b) == pytest.approx(spearman(a**3, np.exp(b)))
