"""Sounds for a page: packed audio, a small spectrogram and the outline of the wave."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...sound import data_uri
from ..spectrogram import FLOOR_DB, loudest_energy, mel, spectrogram

GIVEN = "the sound that was given; the model did not make it"
NAMES = {
    "audio": ("Original", "what the model made of the whole prompt"),
    "original": ("Original", "what the model made of the prompt as it stands"),
    "factual": ("Factual", "made again with the important words alone"),
    "counterfactual": ("Counterfactual", "made again without the important words"),
    "edited": ("Edited", "made again from the same seed with the words changed"),
}
"""The sounds that a page shows, in this order, with a title and what each is."""

BANDS = 96
COLUMNS = 600
OUTLINE = 600
_TICKS_HZ = (200, 1000, 4000, 12000)


def sounds_data(sounds: Mapping[str, npt.NDArray[np.float32]], rate: int) -> list[dict[str, Any]]:
    """What a page needs of several sounds, in the order of NAMES; how loud they look is relative to the first."""
    shown = [name for name in NAMES if name in sounds]
    loudest = (loudest_energy(sounds[shown[0]], rate, BANDS) or None) if shown else None  # beside silence, its own
    return [sound_data(name, sounds[name], rate, loudest) for name in shown]


def sound_data(name: str, audio: npt.NDArray[np.float32], rate: int, loudest: float | None = None) -> dict[str, Any]:
    """What a page needs of one sound; JSON-able. ``loudest`` as in :func:`spectrogram`."""
    title, what = NAMES[name]
    return {
        "name": name, "title": title, "what": what,
        "seconds": audio.shape[-1] / rate,
        "uri": data_uri(audio, rate) if audio.shape[-1] else None,
        "spectrogram": _image(audio, rate, loudest),
        "outline": _outline(audio),
        "ticks": _ticks(rate),
    }


def _image(audio: npt.NDArray[np.float32], rate: int, loudest: float | None) -> dict[str, Any]:
    """Levels 0 to 255 by row, the highest band first, in base64; the page draws them in its own colours."""
    decibels = spectrogram(audio, rate, BANDS, loudest)
    step = -(-decibels.shape[1] // COLUMNS)
    levels = np.rint((1 - decibels[::-1, ::step] / FLOOR_DB) * 255).astype(np.uint8)
    return {"rows": levels.shape[0], "columns": levels.shape[1], "levels": base64.b64encode(levels.tobytes()).decode()}


def _outline(audio: npt.NDArray[np.float32]) -> list[float]:
    """The largest magnitude in each of at most OUTLINE equal stretches, relative to the largest of all."""
    mono = np.abs(np.atleast_2d(audio)).max(0, initial=0.0)
    parts = np.array_split(mono, min(OUTLINE, max(len(mono), 1)))
    peaks = np.array([part.max(initial=0.0) for part in parts], dtype=np.float64)
    return [round(float(peak), 3) for peak in peaks / max(float(peaks.max()), 1e-9)]


def _ticks(rate: int) -> list[dict[str, Any]]:
    """Frequencies to write beside a spectrogram, with their height from 0 (lowest) to 1."""
    low, high = float(mel(40.0)), float(mel(rate / 2))
    return [{"text": f"{hertz // 1000} kHz" if hertz >= 1000 else f"{hertz} Hz",
             "height": (float(mel(hertz)) - low) / (high - low)} for hertz in _TICKS_HZ if hertz < 0.47 * rate]
