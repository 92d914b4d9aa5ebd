"""Attention by token, time and frequency: checked, cut, merged by word, saved."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import AttentionMap, Explanation, FormatError, SettingError
from xattnmask.results.io import from_dict, to_dict

VALUES = np.random.default_rng(0).random((11, 8, 3)).astype(np.float32)
TIMES, HERTZ = np.linspace(0, 4, 9), np.array([0.0, 200.0, 900.0, 4000.0])
MAP = AttentionMap(VALUES, TIMES, HERTZ)


def test_words_of_several_tokens(make):
    explanation = make(attention_map=MAP)
    np.testing.assert_array_equal(explanation.word_map("siren"), VALUES[7])
    np.testing.assert_array_equal(explanation.word_map("Dog"), VALUES[1:3].max(0))
    np.testing.assert_allclose(explanation.word_map("dog", "mean"), VALUES[1:3].mean(0), rtol=1e-6)
    np.testing.assert_array_equal(explanation.word_map("a#2"), VALUES[6])
    with pytest.raises(SettingError, match="has 'a' 2 times"):
        explanation.word_map("a")
    with pytest.raises(SettingError, match="no word 'cat'"):
        explanation.word_map("cat")
    with pytest.raises(SettingError, match="no map of time and frequency"):
        make().word_map("dog")


def test_an_interval_cuts_it(make):
    part = make(attention_map=MAP).interval(1.0, 2.2)
    np.testing.assert_array_equal(part.attention_map.values, VALUES[:, 2:5])
    np.testing.assert_array_equal(part.attention_map.times, TIMES[2:6])
    assert MAP.between(0.1, 0.2).values.shape == (11, 1, 3)


def test_it_is_saved(make, tmp_path):
    explanation = make(attention_map=MAP)
    explanation.save(tmp_path)
    loaded = Explanation.load(tmp_path)
    assert loaded == explanation and loaded.attention_map == MAP
    assert loaded != make() and explanation != make(attention_map=AttentionMap(VALUES / 2, TIMES, HERTZ))


@pytest.mark.parametrize(("changes", "told"), [
    ({"values": VALUES[:, 1:]}, r"but \[tokens, 8, 3\] is needed"), ({"values": -VALUES}, "0 or above"),
    ({"times": TIMES[::-1]}, "times must hold"), ({"hertz": HERTZ[:1]}, "hertz must hold"),
    ({"values": VALUES[:0]}, "is needed"), ({"values": np.full_like(VALUES, np.nan)}, "NaN"),
])  # fmt: skip
def test_maps_that_are_none(changes, told):
    with pytest.raises(SettingError, match=told):
        AttentionMap(**{"values": VALUES, "times": TIMES, "hertz": HERTZ, **changes})


@pytest.mark.parametrize("value", [
    3, "x", [], {}, {"times": [0, 1], "hertz": [0, 1]}, {"times": [0, 1], "hertz": [0, 1], "values": None},
    {"times": [0, 1], "hertz": [0, 1], "values": [[[0.5]]]}, {"times": "x", "hertz": [0, 1], "values": [[[0.5]]]},
])  # fmt: skip
def test_malformed_files(make, value):
    with pytest.raises(FormatError):
        from_dict({**to_dict(make()), "attention_map": value})
