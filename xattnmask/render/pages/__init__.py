"""The report: one page that shows an explanation, plays its sounds and needs nothing else. Never needs torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ...results.comparison import Comparison
from ...results.explanation import Explanation
from ...results.files import write_file
from .comparison import comparison_data
from .data import explanation_data
from .index import Entry, index_data
from .page import page
from .rating import SCRIPTS as RATING
from .rating import Clip, rating_data
from .sounds import sounds_data

__all__ = ["Clip", "Entry", "comparison_report", "edit_report", "index_page", "rating_page", "report"]


def report(explanation: Explanation, path: str | os.PathLike[str] | None = None) -> str:
    """The report of ``explanation`` as HTML; written to ``path`` too, whole or not at all, where one is given.

    One file that works from disk, without network: the prompt shaded by importance, the sound with its playhead over
    the spectrogram and the words by time, the words of any stretch, the sounds made again beside the original, the
    denoising steps where there are some, diagnostics, settings and versions. What the explanation holds is escaped.

    Raises:
        SettingError: the prompt has no words.
        OutputError: the file cannot be written.
    """
    return _written(page("report.html", explanation_data(explanation)), path)


def comparison_report(comparison: Comparison, path: str | os.PathLike[str] | None = None) -> str:
    """Two explanations side by side and their differences by word, as HTML in the manner of :func:`report`."""
    return _written(page("comparison.html", comparison_data(comparison)), path)


def edit_report(prompt: str, edits: Sequence[str], sounds: Mapping[str, Any], sample_rate: int,
                path: str | os.PathLike[str] | None = None) -> str:
    """A page on an edit: the prompt, what was changed, and the sounds ``original`` and ``edited`` side by side.

    ``sounds`` are float32 [samples] or [channels, samples] by name.
    """
    data = {"prompt": prompt, "edits": list(edits), "sounds": sounds_data(sounds, sample_rate)}
    return _written(page("edit.html", data), path)


def index_page(entries: Sequence[Entry], path: str | os.PathLike[str] | None = None) -> str:
    """The page of a batch, which links its reports and tells what failed."""
    return _written(page("index.html", index_data(entries), scripts=()), path)


def rating_page(clips: Sequence[Clip], study: str, path: str | os.PathLike[str] | None = None) -> str:
    """A page on which a person rates how much of each word is heard in each clip, and saves the ratings as a file.

    ``study`` is written into the ratings, so that they are read back with the clips that they are of.
    """
    return _written(page("rating.html", rating_data(clips, study), RATING), path)


def _written(html: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        write_file(path, lambda temporary: temporary.write_text(html, encoding="utf-8"))
    return html
