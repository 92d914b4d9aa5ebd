"""Scores of one explanation against the truth, and their means with confidence intervals."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def score(importance: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Scores of importance [frames, units] against truth bool [frames, units], a unit being one or more words.

    ``frame_auc`` and ``frame_ap`` rank all cells of a caption; ``word_auc`` ranks its units by their mean importance
    over time, a unit being true that causes any frame; ``pointing`` is the share of the frames with a cause in which
    the unit ranked first is one.
    """
    words = truth.any(0)
    caused = truth.any(1)
    top = importance[caused].argmax(1)
    return {
        "frame_auc": _rank(roc_auc_score, truth.ravel(), importance.ravel()),
        "frame_ap": _rank(average_precision_score, truth.ravel(), importance.ravel()),
        "word_auc": _rank(roc_auc_score, words, importance.mean(0)),
        "pointing": float(truth[caused, top].mean()),
    }


def mean_with_interval(values: np.ndarray, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """Mean of ``values`` [captions] and its 95 % interval by bootstrap over captions; NaN are left out."""
    values = values[~np.isnan(values)]
    samples = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(1)
    return float(values.mean()), float(np.quantile(samples, 0.025)), float(np.quantile(samples, 0.975))


def paired_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Mean of a - b over captions and its 95 % bootstrap interval."""
    return mean_with_interval(a - b)


def _rank(metric, truth: np.ndarray, importance: np.ndarray) -> float:
    """NaN where every word, or none, is true: there is nothing to rank."""
    return float(metric(truth, importance)) if 0 < truth.sum() < truth.size else float("nan")
