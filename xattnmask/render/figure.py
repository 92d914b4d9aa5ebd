"""Words against time under the spectrogram, as a matplotlib figure made without pyplot."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError
from ..results.bars import fit, printable
from ..results.explanation import Explanation
from ..results.files import write_file
from .spectrogram import FLOOR_DB, mel, spectrogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "magma"
FORMATS = (".png", ".pdf", ".svg")
DPI = 200
_WIDTH = 7.0  # inches; so are those below
_SPECTROGRAM, _ROW, _MIN_ROWS, _MAX_ROWS, _MARGINS = 1.5, 0.24, 0.8, 12.0, 1.15
_LABEL_CELLS = 18
_TICKS_HZ = (100, 250, 500, 1000, 2000, 4000, 8000, 16000)
FEW_TICKS_HZ = (200, 1000, 4000, 12000)
"""For axes so low that more would overlap."""


def heatmap(explanation: Explanation, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw importance by word (rows, in the order of the prompt) and time under the spectrogram.

    Args:
        explanation: its ``audio["audio"]`` makes the spectrogram; without audio there is only the heat map.
        path: where to save the figure, whole or not at all, as .png (200 dpi), .pdf or .svg.

    Returns:
        the figure; it belongs to no window and needs no closing.

    Raises:
        SettingError: the prompt has no words, or ``path`` has another suffix.
        OutputError: the file cannot be written.
    """
    check_path(path)
    if not explanation.words_in_prompt:
        raise SettingError("there are no words to draw in this prompt")
    return save(_draw(explanation), path)


def check_path(path: str | os.PathLike[str] | None) -> None:
    """Raise SettingError unless ``path`` is None or ends in one of FORMATS."""
    if path is not None and Path(path).suffix.lower() not in FORMATS:
        raise SettingError(f"cannot draw {path}: the name must end in {', '.join(FORMATS)}")


def save(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """``figure``, saved to ``path`` too where one is given, whole or not at all; raises OutputError."""
    if path is not None:
        write_file(path, lambda temporary: _save(figure, temporary, Path(path).suffix.lower()[1:]))
    return figure


def _draw(explanation: Explanation) -> Figure:
    from matplotlib.figure import Figure

    rows = min(max(len(explanation.words_in_prompt) * _ROW, _MIN_ROWS), _MAX_ROWS)
    sound = explanation.audio.get("audio")
    heights = [rows] if sound is None else [_SPECTROGRAM, rows]
    figure = Figure(figsize=(_WIDTH, sum(heights) + _MARGINS), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.04, hspace=0.0)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(heights), 2, squeeze=False,
                           gridspec_kw={"height_ratios": heights, "width_ratios": [1, 0.022]})
    if sound is not None:
        _draw_sound(grid[0, 0], grid[0, 1], sound, explanation)
        grid[0, 0].sharex(grid[1, 0])
        grid[0, 0].tick_params(labelbottom=False)
    _draw_words(grid[-1, 0], grid[-1, 1], explanation, rows)
    return figure


def _draw_sound(axes: Axes, bar: Axes, sound: Any, explanation: Explanation) -> None:
    colour_bar(draw_spectrogram(axes, sound, explanation), bar, "dB")


def draw_spectrogram(axes: Axes, sound: Any, explanation: Explanation, ticks: Sequence[int] = _TICKS_HZ) -> Any:
    """The spectrogram of a sound of ``explanation`` in greys; frequencies as the mel scale has them."""
    rate, start = explanation.sample_rate, float(explanation.times[0])
    top = float(mel(rate / 2))
    image = axes.imshow(
        spectrogram(sound, rate), origin="lower", aspect="auto", interpolation="bilinear", cmap="gray_r",
        vmin=FLOOR_DB, vmax=0, extent=(start, start + max(sound.shape[-1], 1) / rate, float(mel(40.0)), top))
    label_frequencies(axes, rate / 2, ticks)
    return image


def label_frequencies(axes: Axes, highest: float, ticks: Sequence[int]) -> None:
    """Ticks in Hz on an axis that is even in mel, up to nearly ``highest``."""
    ticks = [hertz for hertz in ticks if hertz <= 0.95 * highest]
    axes.set_yticks([float(mel(hertz)) for hertz in ticks],
                    [f"{hertz // 1000}k" if hertz >= 1000 else str(hertz) for hertz in ticks])
    axes.set_ylabel("frequency (Hz)", fontsize=9)
    axes.tick_params(labelsize=8)


def _draw_words(axes: Axes, bar: Axes, explanation: Explanation, inches: float) -> None:
    words, times = explanation.words_in_prompt, explanation.times
    importance = explanation.word_importance().T
    low, high = min(0.0, float(importance.min())), float(importance.max())
    mesh = axes.pcolormesh(times, np.arange(len(words) + 1), importance, cmap=COLOURS, vmin=low,
                           vmax=high if high > low else low + 1.0, rasterized=True)
    axes.set_ylim(len(words), 0)
    axes.set_xlim(times[0], times[-1])
    size = min(9.5, 60 * inches / len(words))
    axes.set_yticks(np.arange(len(words)) + 0.5, [word_label(word.text) for word in words], fontsize=size)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("time (s)", fontsize=9)
    for edge in range(1, len(words)):
        axes.axhline(edge, color="white", linewidth=0.6, alpha=0.25)
    colour_bar(mesh, bar, "importance")


def colour_bar(image: Any, axes: Axes, label: str) -> None:
    """The scale of ``image`` in ``axes``."""
    bar = axes.figure.colorbar(image, cax=axes)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.5)


def word_label(word: str) -> str:
    """``word`` as a figure can show it: cut where it is long, without control characters."""
    return fit(printable(word), _LABEL_CELLS).strip()


def _save(figure: Figure, path: Path, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, format=kind, dpi=DPI)
