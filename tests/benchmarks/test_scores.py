"""The benchmark's scores on cases whose answer is known."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no installed package
from benchmarks.scores import mean_with_interval, paired_difference, score

TRUTH = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=bool)


def test_the_truth_itself_scores_one():
    assert score(TRUTH.astype(float), TRUTH) == {"frame_auc": 1, "frame_ap": 1, "word_auc": 1, "pointing": 1}


def test_its_opposite_scores_nothing():
    found = score(1 - TRUTH.astype(float), TRUTH)
    assert found["frame_auc"] == found["word_auc"] == found["pointing"] == 0


def test_a_constant_is_a_guess():
    found = score(np.ones(TRUTH.shape), TRUTH)
    assert found["frame_auc"] == found["word_auc"] == 0.5
    assert found["frame_ap"] == pytest.approx(TRUTH.mean())


def test_the_right_words_all_the_time_are_known_as_words_and_not_as_frames():
    found = score(np.broadcast_to([1.0, 1.0, 0.0], TRUTH.shape), TRUTH)
    assert found["word_auc"] == 1 and found["frame_auc"] == 0.75  # 4 of 8 false cells tie with the true ones


def test_nothing_to_rank_is_not_a_number():
    assert np.isnan(score(np.random.rand(4, 3), np.ones((4, 3), bool))["frame_auc"])


def test_intervals_hold_the_mean_and_leave_nan_out():
    values = np.random.default_rng(0).normal(3, 1, 400)
    mean, low, high = mean_with_interval(np.append(values, np.nan))
    assert low < mean < high and mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert paired_difference(values + 1, values) == pytest.approx((1, 1, 1))
