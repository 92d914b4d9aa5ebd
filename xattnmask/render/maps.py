"""Attention on words by time and frequency, under the spectrogram."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import SettingError
from ..results.explanation import Explanation
from .figure import (
    COLOURS,
    FEW_TICKS_HZ,
    check_path,
    colour_bar,
    draw_spectrogram,
    label_frequencies,
    save,
    word_label,
)
from .spectrogram import mel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_WORDS = 12
_WIDTH, _PANEL, _MARGINS = 7.0, 1.25, 0.6  # inches


def map_plot(explanation: Explanation, words: str | Sequence[str] | None = None,
             path: str | os.PathLike[str] | None = None) -> Figure:
    """The attention on some words by time and frequency, one under the other, below the sound's spectrogram.

    Each word has colours of its own range, from 0: words are attended to very unequally, and what is asked of a map is
    where. The range is written beside it.

    Args:
        explanation: of a model whose latents are a spectrogram.
        words: as in :meth:`Explanation.word_map`; by default all of the prompt, at most 12.
        path: as for :func:`~xattnmask.render.heatmap`.

    Raises:
        SettingError: there is no such map, or no such word, or too many are asked for; or ``path`` has another suffix.
        OutputError: the file cannot be written.
    """
    check_path(path)
    names = _names(explanation, words)
    maps = [explanation.word_map(name) for name in names]
    sound = explanation.audio.get("audio")
    figure, axes = _figure(len(maps) + (sound is not None))
    if sound is not None:
        colour_bar(draw_spectrogram(axes[0, 0], sound, explanation, FEW_TICKS_HZ), axes[0, 1], "dB")
    for name, values, (panel, bar) in zip(names, maps, axes[sound is not None :], strict=True):
        _draw(panel, bar, name, values, explanation)
    axes[-1, 0].tick_params(labelbottom=True)
    axes[-1, 0].set_xlabel("time (s)", fontsize=9)
    return save(figure, path)


def _names(explanation: Explanation, words: str | Sequence[str] | None) -> list[str]:
    """The words that are drawn; of several that are alike, the prompt's are numbered."""
    if words is not None:
        names = [words] if isinstance(words, str) else list(words)
    else:
        all_words = [word.text for word in explanation.words_in_prompt if word.tokens]
        names = [_numbered(all_words, index) for index in range(len(all_words))]
    if not names:
        raise SettingError("there are no words to draw in this prompt")
    if len(names) > MOST_WORDS:
        raise SettingError(f"{len(names)} words are too many for one figure: choose at most {MOST_WORDS}")
    return names


def _numbered(words: Sequence[str], index: int) -> str:
    alike = [i for i, word in enumerate(words) if word.casefold() == words[index].casefold()]
    return words[index] if len(alike) == 1 else f"{words[index]}#{alike.index(index) + 1}"


def _draw(axes: Axes, bar: Axes, name: str, values: Any, explanation: Explanation) -> None:
    plane = explanation.attention_map
    assert plane is not None
    high = float(values.max()) or 1.0
    mesh = axes.pcolormesh(plane.times, mel(plane.hertz), values.T, cmap=COLOURS, vmin=0, vmax=high, rasterized=True)
    label_frequencies(axes, float(plane.hertz[-1]), FEW_TICKS_HZ)
    axes.set_title(word_label(name), fontsize=9, loc="left", pad=3, parse_math=False)
    colour_bar(mesh, bar, "attention")


def _figure(panels: int) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, panels * _PANEL + _MARGINS), layout="constrained")
    axes: Any = figure.subplots(panels, 2, squeeze=False, gridspec_kw={"width_ratios": [1, 0.022]})
    for panel in axes[:, 0]:
        panel.tick_params(labelbottom=False)
        if panel is not axes[0, 0]:
            panel.sharex(axes[0, 0])
            panel.sharey(axes[0, 0])
    return figure, axes
