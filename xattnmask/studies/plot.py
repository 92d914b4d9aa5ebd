"""The plot of a study: means with their intervals, a panel for each score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..metrics.statistics import Interval
    from .base import Panel

COLOUR, OTHER_COLOUR = "#3b518b", "#b5622e"
ACROSS = 3
"""Panels side by side, as many as a page of text is wide for; more go below."""
_WIDTH, _LABELS, _ROW, _MARGIN = 2.3, 2.2, 0.22, 0.75  # inches


def figure_of(panels: Sequence[Panel]) -> Figure:
    """Panels in rows; labels run down, the first on top, and stand once where neighbours have the same."""
    from matplotlib.figure import Figure

    rows = [panels[start : start + ACROSS] for start in range(0, len(panels), ACROSS)] or [()]
    heights = [max((len(panel.labels) for panel in row), default=1) * _ROW + _MARGIN for row in rows]
    across = max(len(row) for row in rows) or 1
    figure = Figure(figsize=(_WIDTH * across + _LABELS, sum(heights)), layout="constrained")
    axes = figure.subplots(len(rows), across, squeeze=False, height_ratios=heights)
    for places, row in zip(axes, rows, strict=True):
        for number, place in enumerate(places):
            if number < len(row):
                _draw(place, row[number], number == 0 or row[number].labels != row[number - 1].labels)
            else:
                place.set_axis_off()
    return figure


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write them as SVG, the same bytes each time."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "xattnmask", "svg.fonttype": "none"}):
        figure_of(panels).savefig(path, format="svg", metadata={"Date": None})


def _draw(axes: Any, panel: Panel, labelled: bool) -> None:
    rows = np.arange(len(panel.labels))
    _draw_intervals(axes, panel.intervals, panel.ordered, COLOUR)
    if panel.others:
        _draw_intervals(axes, panel.others, panel.ordered, OTHER_COLOUR)
        axes.legend(axes.lines, panel.names, fontsize=7, frameon=False)
    axes.set_yticks(rows, panel.labels if labelled else [""] * len(rows), fontsize=8)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(panel.title, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_intervals(axes: Any, intervals: Sequence[Interval], ordered: bool, colour: str) -> None:
    rows = np.arange(len(intervals))
    mean, low, high = (np.array([getattr(interval, name) for interval in intervals], dtype=float)
                       for name in ("mean", "low", "high"))
    axes.hlines(rows, low, high, color=colour, linewidth=1.4)
    axes.plot(mean, rows, "o-" if ordered else "o", color=colour, markersize=4, linewidth=0.8)
