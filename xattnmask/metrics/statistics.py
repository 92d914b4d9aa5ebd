"""Means over prompts with their uncertainty, and paired tests between methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..optional import need

Floats = npt.NDArray[np.floating]


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_with_interval(values: Floats, seed: int = 0, draws: int = 2000) -> Interval:
    """Mean of ``values`` [prompts] and its 95 % percentile interval by bootstrap over prompts; NaN are left out.

    All three are NaN where nothing is left.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    samples = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(1)
    return Interval(float(values.mean()), float(np.quantile(samples, 0.025)), float(np.quantile(samples, 0.975)))


def paired_difference(a: Floats, b: Floats) -> Interval:
    """Mean of a - b over prompts and its 95 % bootstrap interval; prompts that lack one of them are left out."""
    return mean_with_interval(_differences(a, b))


def paired_p_value(a: Floats, b: Floats, seed: int = 0, resamples: int = 9999) -> float:
    """Two-sided p-value of a mean difference by flipping the signs of the differences; exact for few prompts.

    ``scipy.stats.permutation_test`` of type ``samples``. NaN where no prompt has both, 1 where one has.

    Raises:
        MissingLibraryError: scipy is not installed.
    """
    differences = _differences(a, b)
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return float("nan")
    if len(differences) == 1:  # both signs are as extreme; scipy wants two
        return 1.0
    pair = (differences, np.zeros_like(differences))
    found = need("scipy.stats", "metrics").permutation_test(
        pair, lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=resamples, rng=np.random.default_rng(seed))
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for testing all of them (Holm, 1979); NaN stay NaN and count for nothing."""
    adjusted = [float("nan")] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not np.isnan(p)), key=lambda i: p_values[i])
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _differences(a: Floats, b: Floats) -> npt.NDArray[np.float64]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise SettingError(f"paired values are of the same prompts, not {list(first.shape)} and {list(second.shape)}")
    return first - second
