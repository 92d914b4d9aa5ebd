"""Cells of denoising steps and stretches of audio."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import SettingError
from xattnmask.replaying import Grid, choose_steps


@pytest.mark.parametrize("columns", [1, 2, 7, 25, 107])
def test_stretches_are_even_and_none_is_empty(columns):
    for bins in range(1, columns + 1):
        found = Grid((0,), bins, columns).bin_of_column()
        counts = np.bincount(found, minlength=bins)
        assert (np.diff(found) >= 0).all() and counts.min() >= 1 and counts.max() - counts.min() <= 1


def test_edges_are_those_of_the_first_columns():
    grid = Grid((0, 3), 2, 5)
    assert grid.cells == 4
    times = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.45])
    inside = grid.bin_of_column()
    assert grid.edges(times).tolist() == [0.0, times[(inside == 0).sum()], 0.45]


def test_steps_are_evenly_spaced():
    assert choose_steps(20, None) == tuple(range(20)) == choose_steps(20, 99)
    assert choose_steps(20, 4) == (2, 7, 12, 17)
    assert choose_steps(20, 1) == (10,)
    assert choose_steps(20, 2, (0.0, 0.5)) == (2, 7)
    assert choose_steps(20, None, (0.5, 1.0)) == tuple(range(10, 20))
    assert choose_steps(1, 5) == (0,)


@pytest.mark.parametrize("window", [(0.5, 0.5), (0.6, 0.2), (-0.1, 1.0), (0.0, 1.5), (float("nan"), 1.0)])
def test_a_wrong_window(window):
    with pytest.raises(SettingError, match="window must be two shares"):
        choose_steps(10, 3, window)


def test_a_window_without_a_step():
    with pytest.raises(SettingError, match="no denoising step lies in the window"):
        choose_steps(4, None, (0.0, 0.1))
