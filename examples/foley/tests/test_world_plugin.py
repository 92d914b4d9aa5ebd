"""The foley world as a plugin."""

from __future__ import annotations

import numpy as np
import pytest
from xattnmask_foley.training.corpus import TEST, captions
from xattnmask_foley.world import render, truth

from xattnmask import SettingError, list_worlds
from xattnmask.plugins.registry import world as load_world


@pytest.fixture(scope="module")
def world():
    return load_world("foley")


def test_it_is_listed():
    assert "foley" in [offer.key for offer in list_worlds()]


def test_cases_are_the_held_out_captions(world):
    cases = list(world.cases(6))
    assert [(case.prompt, case.seed) for case in cases] == [(c.text, s) for c, s in captions(TEST, 6, babble=0.0)]
    assert [case.prompt for case in world.cases(2, start=3)] == [case.prompt for case in cases[3:5]]
    others = {case.prompt for case in world.cases(6, split="validation")}
    assert others != {case.prompt for case in cases}
    with pytest.raises(SettingError, match="not 'train'"):
        list(world.cases(1, split="train"))


def test_units_hold_each_word_once_and_truth_is_theirs(world):
    for case in world.cases(8):
        words = case.prompt.split()
        assert sorted(word for unit in case.units for word in unit) == list(range(len(words)))
        units = world.truth(case, np.linspace(0, 4, 51))
        by_word = truth(case.source, case.seed, 50)
        assert units.shape == (50, len(case.units))
        for unit, words in enumerate(case.units):
            assert all(np.array_equal(units[:, unit], by_word[:, word]) for word in words)


def test_the_sound_is_the_rendered_caption(world):
    (case,) = world.cases(1)
    audio, rate = world.sound(case)
    assert rate == 16000 and np.array_equal(audio, render(case.source, case.seed))


def test_frames_of_another_length_have_no_truth(world):
    (case,) = world.cases(1)
    with pytest.raises(SettingError, match="equal parts of 4 s"):
        world.truth(case, np.linspace(0, 2, 51))
