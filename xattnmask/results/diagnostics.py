"""Doubts about a result, in plain words. Thresholds are named here; all are about warning, none is a proof."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .aggregate import over_time

if TYPE_CHECKING:
    from .explanation import Explanation

UNIFORM_DEVIATION = 0.05
"""Below this standard deviation of importance over words and frames, as a share of its largest value, a mask
is called near uniform."""

UNMOVED_COSINE = 0.95
"""Above this final counterfactual loss (mean cosine between the model's states and those without the
important words, in [-1, 1]), taking the words away changes nothing."""
UNMOVED_COSINE_FROZEN = 0.998
"""The same in context ``frozen``, where the history as it sounded keeps the states in place: on the foley model, which
follows its text, the cosine was .933 to .993 over 16 captions."""

STILL_THERE = 0.95
"""Above this final counterfactual loss, where it is one less the squared error relative to what the text changes, the
words are not taken away."""

FACTUAL_HIGH = 0.2
COUNTERFACTUAL_LOW = 0.5
"""A final factual loss (1 - mean cosine with the important words alone, in [0, 2]) above the first, with a
counterfactual one below the second: neither half of the mask behaves as the whole text does."""

PARTS = 3
DISAGREEMENT = 0.0
"""A part of the clip (one of PARTS equal ones) whose Spearman correlation of word importance with the whole
is below DISAGREEMENT disagrees with it."""

MIN_WORDS = 3
"""Fewest words that a rank correlation is computed on."""


def diagnose(explanation: Explanation) -> tuple[str, ...]:
    """Sentences about what makes ``explanation`` doubtful, or about what to look at; empty when nothing does.

    ``losses`` are read as cosines, as the learned mask records them: ``factual`` = 1 - mean cos(h, h_F) and
    ``counterfactual`` = mean cos(h, h_CF), a value a step; or, with the setting ``similarity="error"``, as shares of
    what the text changes. Their last values count. Curves that are absent
    or out of these ranges are passed over.
    """
    uniform = _near_uniform(explanation)
    return (*uniform, *_ignores_text(explanation), *([] if uniform else _disagreements(explanation)),
            *_unsettled(explanation))


def _near_uniform(explanation: Explanation) -> list[str]:
    matrix = explanation.word_importance()
    if matrix.shape[1] < 2:
        return []
    deviation = float(matrix.std(dtype=np.float64))
    if deviation >= UNIFORM_DEVIATION * float(np.abs(matrix).max()) and deviation > 0:
        return []
    return [f"The importance is nearly uniform (it deviates by {deviation:.3f} over words and time): "
            "it singles out no word."]


def _ignores_text(explanation: Explanation) -> list[str]:
    factual = _last(explanation, "factual", 0.0, 2.0)
    counterfactual = _last(explanation, "counterfactual", -1.0, 1.0)
    if counterfactual is None:
        return []
    settings = explanation.settings
    by_error, frozen = settings.get("similarity") == "error", settings.get("context") == "frozen"
    if by_error and counterfactual > STILL_THERE:
        return [f"Without the important words {counterfactual:.0%} of what the text changes is still there; words that "
                "matter at some moments only stay in the text encoders."]
    if not by_error and counterfactual > (UNMOVED_COSINE_FROZEN if frozen else UNMOVED_COSINE):
        return ["The model may be ignoring the text: taking the important words away changes almost nothing "
                f"(cosine {counterfactual:.2f})."]
    if factual is not None and factual > FACTUAL_HIGH and counterfactual < COUNTERFACTUAL_LOW:
        return ["The important words alone do not bring the sound back "
                f"(factual loss {factual:.2f}, counterfactual {counterfactual:.2f}): the model may be ignoring "
                "single words, or need the text as a whole."]
    return []


def _last(explanation: Explanation, name: str, low: float, high: float) -> float | None:
    curve = explanation.losses.get(name) or [None]
    value = curve[-1]
    slack = 1e-3
    return value if value is not None and low - slack <= value <= high + slack else None


def _disagreements(explanation: Explanation) -> list[str]:
    matrix, times = explanation.word_importance(), explanation.times
    words = explanation.words_in_prompt
    if len(words) < MIN_WORDS or len(matrix) < PARTS:
        return []
    whole = over_time(matrix, explanation.durations)
    bounds = np.linspace(times[0], times[-1], PARTS + 1)
    centres = (times[:-1] + times[1:]) / 2
    found = []
    for start, end in itertools.pairwise(bounds):
        inside = (centres >= start) & (centres < end)
        if not inside.any():
            continue
        part = over_time(matrix[inside], explanation.durations[inside])
        if spearman(part, whole) < DISAGREEMENT:
            found.append(f"From {start:.2f} to {end:.2f} s the words rank differently from the whole clip: "
                         f'"{words[int(part.argmax())].text}" matters most there.')
    return found


def _unsettled(explanation: Explanation) -> list[str]:
    if explanation.converged is not False:
        return []
    steps = max((len(curve) for curve in explanation.losses.values()), default=0)
    after = f" after {steps} step{'s' * (steps != 1)}" if steps else ""
    return [f"The optimisation had not settled{after}: try more steps."]


def spearman(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Rank correlation of two vectors, ties sharing their mean rank; 0 where one is constant."""
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else 0.0


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
