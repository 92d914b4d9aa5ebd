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
_WIDTH, _ROW, _MARGIN = 3.4, 0.3, 0.9  # inches


def figure_of(panels: Sequence[Panel]) -> Figure:
    """Panels side by side; labels run down, the first on top."""
    from matplotlib.figure import Figure

    rows = max((len(panel.labels) for panel in panels), default=1)
    figure = Figure(figsize=(_WIDTH * max(len(panels), 1) + 1.2, rows * _ROW + _MARGIN), layout="constrained")
    axes = figure.subplots(1, max(len(panels), 1), squeeze=False)[0]
    for place, panel in zip(axes, panels, strict=False):
        _draw(place, panel)
    return figure


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write them as SVG, the same bytes each time."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "xattnmask", "svg.fonttype": "none"}):
        figure_of(panels).savefig(path, format="svg", metadata={"Date": None})


def _draw(axes: Any, panel: Panel) -> None:
    rows = np.arange(len(panel.labels))
    _draw_intervals(axes, panel.intervals, panel.ordered, COLOUR)
    if panel.others:
        _draw_intervals(axes, panel.others, panel.ordered, OTHER_COLOUR)
        axes.legend(axes.lines, panel.names, fontsize=7, frameon=False)
    axes.set_yticks(rows, panel.labels, fontsize=8)
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
