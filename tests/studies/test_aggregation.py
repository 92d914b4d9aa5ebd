"""The study of aggregates over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xattnmask import SettingError, explain
from xattnmask.metrics import truth_scores
from xattnmask.plugins.registry import world
from xattnmask.studies import load_study
from xattnmask.studies.aggregation import word_scores


@pytest.fixture
def explanation(toy_model, sound):
    return explain(toy_model, sound, method="leave-one-out")


def test_loudness_weighs_frames_by_the_sound_in_them(explanation):
    """Only the third and the seventh of ten frames sound, the seventh twice as loud."""
    audio = np.zeros(640, np.float32)
    audio[128:192], audio[384:448] = 0.25, -0.5
    words = explanation.word_importance().astype(np.float64)
    found = word_scores(replace(explanation, audio={"audio": audio}), "loudness")
    np.testing.assert_allclose(found, (words[2] + 2 * words[6]) / 3, rtol=1e-6)
    silent = word_scores(replace(explanation, audio={"audio": audio * 0}), "loudness")
    np.testing.assert_allclose(silent, words.mean(0), rtol=1e-6)


def test_the_others_are_the_explanations_own(explanation):
    for name in ("mean", "max", "attention"):
        assert word_scores(explanation, name).tolist() == [row.importance for row in explanation.words(name)]


def test_each_aggregate_is_scored_on_each_caption(setup, toy_model, tmp_path):
    found = load_study("aggregation").run(setup(limit=3, options={"method": "leave-one-out"}))
    assert [(row["number"], row["method"]) for row in found.rows] == [
        (number, name) for number in (1, 2, 3) for name in ("mean", "max", "loudness", "attention")]
    (case,) = world("toy").cases(1, start=1)
    sound = toy_model.generate(case.prompt, seed=1, duration=0.48)
    by_hand = explain(toy_model, sound, method="leave-one-out")
    truth = world("toy").truth(case, by_hand.times)
    assert found.rows[4]["word_auc"] == truth_scores(by_hand.word_importance(), truth)["word_auc"]
    assert len(found.save(tmp_path)) == 3 and [panel.title for panel in found.panels] == ["word AUC"]


def test_it_needs_a_world(setup):
    with pytest.raises(SettingError, match="needs a world"):
        load_study("aggregation").run(setup(world=None))
