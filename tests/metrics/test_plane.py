"""Overlap on the time-frequency plane."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import SettingError
from xattnmask.metrics import plane_iou

TRUTH = np.zeros((2, 4, 6), dtype=bool)
TRUTH[0, :2, :3] = TRUTH[1, 2:, 3:] = True


def test_the_truth_overlaps_wholly_and_its_opposite_not():
    assert plane_iou(TRUTH.astype(float), TRUTH).tolist() == [1, 1]
    assert plane_iou(1 - TRUTH.astype(float), TRUTH).tolist() == [0, 0]


def test_half_of_it():
    half = np.zeros((4, 6))
    half[:2, 1:4] = 1  # two of its three bands, and one beside
    assert plane_iou(half, TRUTH[0]) == pytest.approx(4 / 8)


def test_a_share_in_place_of_as_many_as_are_true():
    everything = plane_iou(np.random.default_rng(0).random(TRUTH.shape), TRUTH, share=1)
    assert everything.tolist() == [6 / 24, 6 / 24]


def test_a_coarser_plane_is_brought_to_the_truths():
    coarse = np.zeros((2, 2, 2))
    coarse[0, 0, 0] = coarse[1, 1, 1] = 1
    assert plane_iou(coarse, TRUTH).tolist() == [1, 1]
    fine = TRUTH.repeat(3, 1).repeat(5, 2).astype(float)
    assert plane_iou(fine, TRUTH).tolist() == [1, 1]


def test_where_nothing_is_true_there_is_nothing_to_find():
    assert np.isnan(plane_iou(np.ones((4, 6)), np.zeros((4, 6), bool)))


@pytest.mark.parametrize("shape", [(3, 4, 6), (4, 6), (6,)])
def test_other_words_are_refused(shape):
    with pytest.raises(SettingError, match="no planes of the same words"):
        plane_iou(np.ones(shape), TRUTH)


@pytest.mark.parametrize("share", [0, 1.5])
def test_shares(share):
    with pytest.raises(SettingError, match="share must be"):
        plane_iou(np.ones((4, 6)), TRUTH[0], share)
