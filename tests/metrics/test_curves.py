"""Deletion and insertion curves over words."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import SettingError, Word
from xattnmask.metrics import deletion_curve, insertion_curve, word_mask

IMPORTANCE = np.array([0.1, 0.9, 0.5])
WORTH = np.array([0.2, 0.5, 0.3])


def worth(kept):
    return float(WORTH[kept].sum())


def test_words_go_and_come_by_importance():
    assert deletion_curve(IMPORTANCE, worth).values == pytest.approx((1, 0.5, 0.2, 0))
    assert insertion_curve(IMPORTANCE, worth).values == pytest.approx((0, 0.5, 0.8, 1))


def test_the_area_is_the_mean_height():
    assert deletion_curve(IMPORTANCE, worth).area == pytest.approx((0.75 + 0.35 + 0.1) / 3)
    assert deletion_curve(IMPORTANCE, lambda kept: 0.7).area == pytest.approx(0.7)


def test_the_right_order_is_the_best():
    right, wrong = (deletion_curve(order, worth).area for order in (WORTH, -WORTH))
    assert right < wrong
    right, wrong = (insertion_curve(order, worth).area for order in (WORTH, -WORTH))
    assert right > wrong


def test_equal_words_go_in_the_order_of_the_prompt():
    seen = []
    deletion_curve(np.ones(3), lambda kept: seen.append(kept.tolist()) or 0.0)
    assert seen == [[True] * 3, [False, True, True], [False, False, True], [False] * 3]


def test_a_curve_needs_words():
    with pytest.raises(SettingError, match="importance by word"):
        deletion_curve(np.ones((2, 2)), worth)


def test_a_mask_takes_away_all_tokens_of_a_word_and_no_other():
    words = [Word("barking", 0, 7, (0, 1)), Word("dog", 8, 11, (2,))]
    assert word_mask(np.array([False, True]), words, 4).tolist() == [[0, 0, 1, 1]]
