"""Random importance: by the seed, one value for a word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xattnmask import SettingError, Token
from xattnmask.methods.random import Random


def attribute(model, sound, seed=0, **settings):
    return Random().attribute(model, sound, seed=seed, on_step=lambda event: None, **settings)


def test_the_seed_repeats_it(toy_model, sound):
    first, again, other = (attribute(toy_model, sound, seed).importance for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.allclose(first, other)
    assert first.shape == (10, 5) and first.dtype == np.float32
    assert first.min() >= 0 and first.max() < 1 and first.std() > 0.2


def test_tokens_of_a_word_have_one_value(toy_model, sound):
    """Or a word of many tokens would be likely to look important."""
    tokens = (*sound.tokens[:3], Token(5, "loud", 12, 16), Token(6, "ly", 16, 18), sound.tokens[-1])
    found = attribute(toy_model, replace(sound, tokens=tokens)).importance
    assert np.array_equal(found[:, 3], found[:, 4])
    assert len({tuple(column) for column in found.T}) == 5


def test_wrong_settings():
    with pytest.raises(SettingError, match="method 'random' has no setting 'seeds'"):
        Random().steps(seeds=1)
