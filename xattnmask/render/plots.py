"""Words as bars, denoising steps by words, and two explanations compared, in the style of the heat map."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..results.aggregate import over_time
from ..results.comparison import Comparison
from ..results.explanation import Explanation
from .figure import COLOURS, check_path, colour_bar, save, word_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR, SPREAD, LESS = "#3b518b", "#e2743a", "#e2743a"
"""Colours that stay apart in grey and for the colour-blind: dark blue, and a light orange."""
QUANTILES = (10, 90)
"""Percentiles over time between which a word's spread is drawn."""
_MOST_STEPS = 20  # whose numbers are written
_WIDTH, _ROW, _LEAST, _MOST, _MARGINS = 7.0, 0.26, 0.6, 14.0, 0.75  # inches


def words_plot(explanation: Explanation, path: str | os.PathLike[str] | None = None) -> Figure:
    """Words as bars, their mean over time, with a line from the 10th to the 90th percentile of their frames.

    ``path`` and errors are as for :func:`~xattnmask.render.heatmap`.
    """
    check_path(path)
    words = _words(explanation)
    matrix = explanation.word_importance()
    figure, axes = _figure(words)
    axes.barh(np.arange(len(words)), over_time(matrix, explanation.durations), height=0.62, color=BAR)
    low, high = _percentiles(matrix, explanation.durations)
    axes.hlines(np.arange(len(words)), low, high, color=SPREAD, linewidth=1.4)
    for ends in (low, high):
        axes.plot(ends, np.arange(len(words)), "|", color=SPREAD, markersize=6)
    axes.set_xlabel("importance: mean over time, and 10th to 90th percentile", fontsize=9)
    return save(figure, path)


def steps_plot(explanation: Explanation, path: str | os.PathLike[str] | None = None) -> Figure:
    """Importance of each word (rows) in each denoising step that was explained (columns), from noise to sound.

    Raises:
        SettingError: there are no denoising steps or no words, or ``path`` has another suffix.
        OutputError: the file cannot be written.
    """
    check_path(path)
    words = _words(explanation)
    if explanation.steps is None:
        raise SettingError("this explanation has no denoising steps: its model is autoregressive")
    matrix = explanation.word_importance(by="step").T
    figure, axes = _figure(words, bar=True)
    low, high = min(0.0, float(matrix.min())), float(matrix.max())
    columns, rows = np.arange(matrix.shape[1] + 1) - 0.5, np.arange(len(words) + 1) - 0.5
    mesh = axes[0].pcolormesh(columns, rows, matrix, cmap=COLOURS, vmin=low, vmax=high if high > low else low + 1.0,
                              rasterized=True)
    _label_steps(axes[0], explanation.steps)
    colour_bar(mesh, axes[1], "importance")
    return save(figure, path)


def comparison_plot(comparison: Comparison, path: str | os.PathLike[str] | None = None) -> Figure:
    """How much more (right) or less (left) each word matters in the second explanation.

    Raises:
        SettingError: the two have no word in common, or ``path`` has another suffix.
        OutputError: the file cannot be written.
    """
    check_path(path)
    shared = [word for word in comparison.words if word.difference is not None]
    if not shared:
        raise SettingError("the two explanations have no word in common to draw")
    values = np.array([word.difference for word in shared], dtype=np.float64)
    figure, axes = _figure([word.text for word in shared])
    axes.barh(np.arange(len(shared)), values, height=0.62, color=np.where(values < 0, LESS, BAR))
    axes.axvline(0, color="black", linewidth=0.8)
    most = float(np.abs(values).max()) or 1.0
    axes.set_xlim(-1.08 * most, 1.08 * most)
    of = ", of each one's highest word" if comparison.relative else ""
    axes.set_xlabel(f"importance in the second less that in the first{of}", fontsize=9)
    return save(figure, path)


def _words(explanation: Explanation) -> list[str]:
    words = [word.text for word in explanation.words_in_prompt]
    if not words:
        raise SettingError("there are no words to draw in this prompt")
    return words


def _label_steps(axes: Axes, steps: npt.NDArray[np.float64]) -> None:
    """The steps' own numbers, counted from 0, under the columns; of many, some."""
    shown = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _MOST_STEPS)).astype(int))
    axes.set_xticks(shown, [f"{steps[index]:g}" for index in shown])
    axes.set_xlabel("denoising step, from noise to sound", fontsize=9)


def _percentiles(matrix: npt.NDArray[np.float32], durations: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """QUANTILES of each word over time, [2, words]: frames count as long as they are."""
    order = np.argsort(matrix, axis=0)
    share = np.cumsum(durations[order], axis=0) / durations.sum()
    ranked = np.take_along_axis(matrix, order, axis=0)
    rows = [np.argmax(share >= quantile / 100 - 1e-9, axis=0) for quantile in QUANTILES]
    return np.stack([ranked[row, np.arange(matrix.shape[1])] for row in rows]).astype(np.float64)


def _figure(words: Sequence[str], bar: bool = False) -> tuple[Figure, Any]:
    """A figure and its axes, a row for each word, the first on top; with ``bar`` also the axes of a scale."""
    from matplotlib.figure import Figure

    rows = min(max(len(words) * _ROW, _LEAST), _MOST)
    figure = Figure(figsize=(_WIDTH, rows + _MARGINS), layout="constrained")
    axes: Any = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 0.022]}) if bar else figure.subplots()
    _label_rows(axes[0] if bar else axes, words, min(9.5, 60 * rows / len(words)))
    return figure, axes


def _label_rows(axes: Axes, words: Sequence[str], size: float) -> None:
    axes.set_yticks(np.arange(len(words)), [word_label(word) for word in words], fontsize=size)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(len(words) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
