from __future__ import annotations

import re

import numpy as np
import pytest

from xattnmask.errors import SettingError
from xattnmask.results import Explanation
from xattnmask.text import Token

WORDS = ["a", "dog", "barks", "then", "a", "siren"]
COLUMNS = [[0], [1, 2], [3], [5], [6], [7]]


def test_words_are_what_was_typed_in_order(explanation):
    table = explanation.words()
    assert [row.text for row in table] == WORDS
    assert [(row.start, row.end) for row in table][:2] == [(0, 1), (2, 5)]


def test_subwords_merge_in_each_frame_before_time(explanation):
    m = explanation.importance
    expected = np.stack([m[:, c].max(axis=1) for c in COLUMNS], axis=1)
    assert np.array_equal(explanation.word_importance(), expected)
    assert explanation.word_importance().dtype == np.float32
    dog = explanation.words(subwords="mean")[1].importance
    assert dog == pytest.approx(m[:, 1:3].mean(), rel=1e-6)
    assert explanation.words()[1].importance == pytest.approx(m[:, 1:3].max(axis=1).mean(), rel=1e-6)


def test_aggregates(explanation):
    words = explanation.word_importance()
    mass = np.stack([explanation.attention[:, c].sum(axis=1) for c in COLUMNS], axis=1)
    np.testing.assert_allclose([r.importance for r in explanation.words("max")], words.max(axis=0), rtol=1e-6)
    np.testing.assert_allclose([r.importance for r in explanation.words("attention")],
                               (words * mass).sum(axis=0) / mass.sum(axis=0), rtol=1e-6)


def test_uniform_attention_is_the_mean(make):
    e = make(attention=np.full((40, 11), 1 / 11, dtype=np.float32))
    np.testing.assert_allclose([r.importance for r in e.words("attention")],
                               [r.importance for r in e.words()], rtol=1e-6)


def test_mean_weights_frames_by_duration(make):
    e = make(times=[0.0, 1.0, 4.0], importance=np.stack([np.zeros(11), np.ones(11)]), attention=None)
    assert {r.importance for r in e.words()} == {0.75}


def test_unattended_word_scores_zero(make):
    assert {r.importance for r in make(attention=np.zeros((40, 11))).words("attention")} == {0.0}


@pytest.mark.parametrize("call, hint", [
    (lambda e: e.words("median"), "mean, max, attention"),
    (lambda e: e.words(subwords="first"), "max, mean"),
    (lambda e: e.word_importance(by="layer"), "time, step"),
    (lambda e: e.word_importance(by="step"), "no importance by denoising step"),
])
def test_unknown_choices(explanation, call, hint):
    with pytest.raises(SettingError, match=hint):
        call(explanation)


def test_attention_aggregate_needs_attention(make):
    with pytest.raises(SettingError, match="needs attention"):
        make(attention=None).words("attention")


def test_special_tokens_are_apart(make, explanation):
    assert [r.text for r in explanation.special()] == ["</s>", "<pad>"]
    changed = np.array(explanation.importance)
    changed[:, 9:] = 100
    assert make(importance=changed).words() == explanation.words()
    assert make(importance=changed).special()[0].importance == 100


def test_repeated_words_are_told_apart_by_span(explanation):
    first, second = (r for r in explanation.words() if r.text == "a")
    assert (first.start, second.start) == (0, 18)
    assert first.importance != second.importance


def test_interval_keeps_overlapping_frames_and_their_times(explanation):
    part = explanation.interval(1.0, 2.05)
    assert np.array_equal(part.times, explanation.times[10:22])
    assert np.array_equal(part.importance, explanation.importance[10:21])
    assert np.array_equal(part.attention, explanation.attention[10:21])
    assert part.audio["audio"].shape == (8800,) and part.audio["factual"].shape == (2, 8800)
    assert np.array_equal(part.audio["audio"], explanation.audio["audio"][8000:16800])


def test_interval_of_all_is_the_whole(explanation):
    assert explanation.interval(0, 4) == explanation


def test_intervals_of_a_partition_average_to_the_whole(explanation):
    parts = [explanation.interval(a, b) for a, b in [(0, 1), (1, 1.5), (1.5, 4)]]
    assert sum(len(p.importance) for p in parts) == 40
    mean = sum(np.array([r.importance for r in p.words()]) * (p.times[-1] - p.times[0]) for p in parts) / 4
    np.testing.assert_allclose(mean, [r.importance for r in explanation.words()], rtol=1e-5)
    highest = np.max([[r.importance for r in p.words("max")] for p in parts], axis=0)
    np.testing.assert_allclose(highest, [r.importance for r in explanation.words("max")])


def test_interval_of_an_interval(explanation):
    assert explanation.interval(1, 3).interval(1.5, 2) == explanation.interval(1.5, 2)


@pytest.mark.parametrize("start, end, hint", [
    (2, 2, "empty"), (3, 1, "empty"), (float("nan"), 1, "empty"), (-1, 2, "outside"), (1, 9, "0.000 to 4.000"),
    (4.0002, 4.0004, "no frame"),
])
def test_bad_intervals(explanation, start, end, hint):
    with pytest.raises(SettingError, match=hint):
        explanation.interval(start, end)


@pytest.mark.parametrize("changes, hint", [
    ({"importance": np.zeros((39, 11))}, "40 frames and 11 tokens"),
    ({"importance": np.zeros((40, 10))}, "40 frames and 11 tokens"),
    ({"importance": np.zeros(11)}, "2 dimensions"),
    ({"importance": np.full((40, 11), np.nan)}, "NaN"),
    ({"importance": np.full((40, 11), 1e300)}, "infinity"),
    ({"importance": [["1"] * 11] * 40}, "array of numbers"),
    ({"importance": [[1.0], [1.0, 2.0]]}, "regular array"),
    ({"attention": np.zeros((40, 3))}, "attention has shape"),
    ({"times": np.zeros(41)}, "above the one before"),
    ({"times": [0.0]}, "at least two"),
    ({"tokens": ()}, "at least one token"),
    ({"tokens": (Token(1, "x", 0, 99),)}, "outside the prompt"),
    ({"tokens": ("a",)}, "must be a Token"),
    ({"prompt": 3}, "prompt must be a string"),
    ({"seed": True}, "seed must be an integer"),
    ({"step_importance": np.zeros((2, 11))}, "needs steps"),
    ({"steps": [1.0, 2.0], "step_importance": np.zeros((3, 11))}, "2 steps and 11 tokens"),
    ({"losses": {"total": "high"}}, "list of numbers"),
    ({"losses": [1.0]}, "losses must be a mapping"),
    ({"settings": None}, "settings must be a mapping"),
    ({"diagnostics": "one"}, "sequence of sentences"),
    ({"converged": "yes"}, "True, False or None"),
    ({"sample_rate": 0}, "sample_rate above 0"),
    ({"sample_rate": 10**9}, "between 0 and"),
    ({"audio": {"../x": np.zeros(3)}}, "audio name"),
    ({"audio": {"audio": np.zeros((2, 2, 2))}}, "channels, samples"),
    ({"audio": {"audio": np.zeros((8000, 2))}}, "channels, samples"),
    ({"audio": {"audio": np.full(3, np.inf)}}, "NaN or infinity"),
])
def test_bad_fields(make, changes, hint):
    with pytest.raises(SettingError, match=re.escape(hint)) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


def test_importance_by_step(make):
    e = make(steps=[999.0, 1.0], step_importance=np.arange(22, dtype=np.float32).reshape(2, 11))
    assert e.word_importance(by="step").tolist() == [[0, 2, 3, 5, 6, 7], [11, 13, 14, 16, 17, 18]]


def test_data_is_frozen_and_the_callers_arrays_stay_writable(make):
    importance, audio = np.zeros((40, 11), np.float32), np.zeros(32000, np.float32)
    e = make(importance=importance, audio={"audio": audio})
    with pytest.raises(ValueError):
        e.importance[0, 0] = 1
    importance[0, 0] = 1
    audio[0] = 1
    assert e.importance[0, 0] == 0


def test_equality_ignores_audio_only(make, explanation):
    assert make(audio={}, sample_rate=0) == explanation
    assert make(seed=4) != explanation
    assert make(importance=np.zeros((40, 11))) != explanation
    assert make(attention=None) != explanation
    assert explanation != "explanation"


def test_settings_become_plain(make):
    e = make(settings={"a": (1, 2), "b": np.float32(0.5), "c": float("inf"), "d": np.arange(2), "e": {3: object}})
    assert e.settings == {"a": [1, 2], "b": 0.5, "c": None, "d": [0, 1], "e": {"3": "<class 'object'>"}}


def test_prompt_without_words(make):
    e = make(prompt="...", tokens=(Token(1, "...", 0, 3),), importance=np.ones((40, 1)), attention=None)
    assert len(e.words()) == len(e.words("max")) == 0 and e.word_importance().shape == (40, 0)
    assert "(no words)" in str(e)


def test_word_without_tokens_scores_zero(make):
    e = make(prompt="dog 🐶", tokens=(Token(1, "dog", 0, 3),), importance=np.ones((40, 1)), attention=None)
    assert [r.importance for r in e.words()] == [1.0, 0.0]


def test_str_is_friendly(make):
    text = str(make(diagnostics=("It is odd.",)))
    assert '"a dog barks, then a siren!"' in text and "█" in text and "Note: It is odd." in text
    assert "importance=" not in repr(make()) and len(repr(make())) < 400


def test_dataframe(explanation):
    pytest.importorskip("pandas")
    frame = explanation.to_dataframe()
    assert list(frame.columns) == ["time", "end", "word", "index", "importance"]
    assert len(frame) == 240 and frame["word"].tolist()[:6] == WORDS
    np.testing.assert_allclose(frame.groupby("index")["importance"].mean(),
                               [r.importance for r in explanation.words()], rtol=1e-5)
    assert explanation.words().to_dataframe()["text"].tolist() == WORDS


def test_xarray(explanation):
    pytest.importorskip("xarray")
    array = explanation.to_xarray()
    assert array.dims == ("time", "word") and array.shape == (40, 6) and array.name == "importance"
    assert array.word.values.tolist() == WORDS
    assert np.array_equal(array.values, explanation.word_importance())


@pytest.mark.parametrize("library, call", [("pandas", Explanation.to_dataframe), ("xarray", Explanation.to_xarray)])
def test_missing_library_says_what_to_type(explanation, monkeypatch, library, call):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(ImportError, match=re.escape('pip install "xattnmask[data]"')):
        call(explanation)
