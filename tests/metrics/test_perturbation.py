"""Infidelity and sensitivity, by Captum."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from xattnmask import SettingError, explain, patch
from xattnmask.metrics import infidelity, sensitivity


@pytest.fixture
def explanation(toy_model, sound):
    return explain(toy_model, sound, method="leave-one-out")


def test_it_is_the_mean_over_all_sets_of_words(toy_model, sound, explanation):
    """In float64, over each of the 16 sets once; Captum draws 2,000."""
    importance = np.array([row.importance for row in explanation.words()], dtype=np.float64)
    clean = toy_model.replay(sound)[0].detach().double().numpy()
    told, moved = [], []
    for taken in product([0.0, 1.0], repeat=len(importance)):
        mask = np.array([[*(1 - np.array(taken)), 1.0]], np.float32)  # the last token is special
        with patch(toy_model, mask):
            states = toy_model.replay(sound)[0].detach().double().numpy()
        cosines = (states * clean).sum(1) / np.linalg.norm(states, axis=1) / np.linalg.norm(clean, axis=1)
        told.append(importance @ taken)
        moved.append((1 - cosines).mean())
    told, moved = np.array(told), np.array(moved)
    scale = (told * moved).mean() / np.square(told).mean()
    expected = np.square(scale * told - moved).mean()
    assert infidelity(toy_model, sound, explanation, samples=2000) == pytest.approx(expected, rel=0.1)


def test_units_do_not_matter_and_seeds_repeat(toy_model, sound, explanation):
    larger = replace(explanation, importance=explanation.importance * 7)
    first, second, again = (infidelity(toy_model, sound, e, seed=3) for e in (explanation, larger, explanation))
    assert first == again and second == pytest.approx(first, rel=1e-4)


def test_of_another_prompt_it_says_nothing(toy_model, sound, explanation):
    other = toy_model.generate("rain", duration=0.4)
    with pytest.raises(SettingError, match="the generation that was explained"):
        infidelity(toy_model, other, explanation)


def test_what_hardly_changes_is_steady(toy_model, sound):
    little, more = (sensitivity(toy_model, sound, "leave-one-out", radius=r) for r in (1e-3, 0.3))
    assert 0 < little < 0.05 and little < more
    assert sensitivity(toy_model, sound, "leave-one-out", radius=0.3) == more


def test_attention_itself_is_hardly_moved_by_weights_behind_it(toy_model, sound):
    """Probabilities are seen before they are scaled; only the next layer's queries move."""
    moved = {method: sensitivity(toy_model, sound, method, radius=0.1) for method in ("attention", "leave-one-out")}
    assert moved["attention"] < moved["leave-one-out"]


@pytest.mark.parametrize("settings", [{"radius": 0}, {"radius": 2.0}, {"samples": 0}])
def test_out_of_range(toy_model, sound, settings):
    with pytest.raises(SettingError, match="sensitivity needs"):
        sensitivity(toy_model, sound, "attention", **settings)


def test_the_model_is_left_as_it_was(toy_model, sound):
    before = toy_model.replay(sound)
    sensitivity(toy_model, sound, "learned", samples=1)
    assert np.array_equal(before.detach().numpy(), toy_model.replay(sound).detach().numpy())
