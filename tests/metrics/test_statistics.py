"""Means, intervals and paired tests, against what statistics says they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, ttest_rel

from xattnmask import SettingError
from xattnmask.metrics import holm, mean_with_interval, paired_difference, paired_p_value


def test_intervals_hold_the_mean_and_leave_nan_out():
    values = np.random.default_rng(0).normal(3, 1, 400)
    mean, low, high = mean_with_interval(np.append(values, np.nan))
    assert low < mean < high and mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
    assert paired_difference(values + 1, values) == pytest.approx((1, 1, 1))


def test_of_nothing_there_is_no_mean():
    assert np.isnan(mean_with_interval(np.array([np.nan]))).all()
    assert np.isnan(paired_p_value(np.array([np.nan, 1.0]), np.array([1.0, np.nan])))


def test_few_prompts_are_tested_exactly():
    """All six differences of one size and sign: 2 of 64 sign patterns are as extreme."""
    assert paired_p_value(np.arange(6.0) + 1, np.arange(6.0)) == pytest.approx(2 * binom.pmf(6, 6, 0.5))
    assert paired_p_value(np.array([3.0]), np.array([1.0])) == 1


def test_many_prompts_agree_with_the_paired_t_test():
    rng = np.random.default_rng(1)
    a = rng.normal(size=60)
    b = a + rng.normal(0.25, 1, 60)
    assert paired_p_value(a, b) == pytest.approx(ttest_rel(a, b).pvalue, abs=0.02)


def test_pairs_that_lack_one_are_left_out():
    a, b = np.array([1.0, 2, 3, np.nan, 5]), np.array([0.0, 1, 2, 3, np.nan])
    assert paired_p_value(a, b) == paired_p_value(a[:3], b[:3])
    assert paired_difference(a, b) == (1, 1, 1)


def test_other_shapes_are_no_pairs():
    with pytest.raises(SettingError, match="of the same prompts"):
        paired_difference(np.ones(3), np.ones(4))


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = holm([0.5, float("nan"), 0.9])
    assert found[0] == 1 and np.isnan(found[1]) and found[2] == 1
    assert holm([]) == []
