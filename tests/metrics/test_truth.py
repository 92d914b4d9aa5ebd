"""Scores against known causes, on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import SettingError
from xattnmask.metrics import by_unit, truth_scores

TRUTH = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=bool)


def test_the_truth_itself_scores_one():
    assert truth_scores(TRUTH.astype(float), TRUTH) == {"frame_auc": 1, "frame_ap": 1, "word_auc": 1, "pointing": 1}


def test_its_opposite_scores_nothing():
    found = truth_scores(1 - TRUTH.astype(float), TRUTH)
    assert found["frame_auc"] == found["word_auc"] == found["pointing"] == 0


def test_a_constant_is_a_guess():
    found = truth_scores(np.ones(TRUTH.shape), TRUTH)
    assert found["frame_auc"] == found["word_auc"] == 0.5
    assert found["frame_ap"] == pytest.approx(TRUTH.mean())


def test_the_right_words_all_the_time_are_known_as_words_and_not_as_frames():
    found = truth_scores(np.broadcast_to([1.0, 1.0, 0.0], TRUTH.shape), TRUTH)
    assert found["word_auc"] == 1 and found["frame_auc"] == 0.75  # 4 of 8 false cells tie with the true ones


def test_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    importance, truth = rng.random((9, 4)), rng.random((9, 4)) < 0.4
    true, false = importance[truth], importance[~truth]
    pairs = (true[:, None] > false).mean()
    assert truth_scores(importance, truth)["frame_auc"] == pytest.approx(pairs, abs=1e-12)


def test_nothing_to_rank_is_not_a_number():
    everything = truth_scores(np.random.default_rng(0).random((4, 3)), np.ones((4, 3), bool))
    assert np.isnan(everything["frame_auc"]) and everything["pointing"] == 1
    assert all(np.isnan(value) for value in truth_scores(np.ones((4, 3)), np.zeros((4, 3), bool)).values())


def test_frames_without_a_cause_do_not_count_in_pointing():
    truth = np.vstack([TRUTH, np.zeros((4, 3), bool)])
    assert truth_scores(np.vstack([TRUTH, 1 - TRUTH]).astype(float), truth)["pointing"] == 1


def test_shapes_must_agree():
    with pytest.raises(SettingError, match=r"\[4, 2\] and truth \[4, 3\]"):
        truth_scores(np.ones((4, 2)), TRUTH)


def test_a_unit_takes_its_highest_word():
    words = np.array([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]])
    assert by_unit(words, [(0, 1), (2,)]).tolist() == [[5, 2], [4, 3]]
