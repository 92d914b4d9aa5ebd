"""Scores of importance against known causes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..optional import need

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


def truth_scores(importance: Floats, truth: Bools) -> dict[str, float]:
    """Scores of importance [frames, units] against truth bool [frames, units], a unit being one or more words.

    ``frame_auc`` and ``frame_ap`` rank all cells of a caption (area under the ROC curve, average precision);
    ``word_auc`` ranks its units by their mean importance over time, a unit being true that causes any frame;
    ``pointing`` is the share of the frames with a cause in which the unit ranked first is one (the pointing game). NaN
    where every cell, or none, is true: there is nothing to rank.

    Raises:
        SettingError: the shapes differ.
        MissingLibraryError: scikit-learn is not installed.
    """
    truth = np.asarray(truth, dtype=bool)
    if importance.ndim != 2 or importance.shape != truth.shape:
        raise SettingError(f"importance {list(importance.shape)} and truth {list(truth.shape)} must be one matrix each")
    ranking = need("sklearn.metrics", "metrics")
    words, caused = np.any(truth, axis=0, keepdims=True)[0], np.any(truth, axis=1, keepdims=True)[:, 0]
    right = truth[caused, importance[caused].argmax(1)]
    return {
        "frame_auc": _rank(ranking.roc_auc_score, truth.ravel(), importance.ravel()),
        "frame_ap": _rank(ranking.average_precision_score, truth.ravel(), importance.ravel()),
        "word_auc": _rank(ranking.roc_auc_score, words, importance.mean(0)),
        "pointing": float(right.mean()) if caused.any() else float("nan"),
    }


def by_unit(importance: Floats, units: Sequence[Sequence[int]]) -> Floats:
    """Importance [frames, units] from that of words [frames, words]: the highest of each unit's.

    The words of ``followed by`` mean one thing, which a model may read off either.
    """
    return np.stack([importance[:, list(unit)].max(1) for unit in units], 1)


def _rank(metric: Any, truth: Bools, importance: Floats) -> float:
    return float(metric(truth, importance)) if 0 < truth.sum() < truth.size else float("nan")
