"""Sound files: read in any common format, resampled, and packed for a page. Knows no model and no torch."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import FormatError, SettingError

Sound = npt.NDArray[np.float32]

LOWEST_RATE = 8000
"""Samples a second below which browsers refuse to play."""
PACKED_BYTES = 600_000
"""Above this a sound for a page is packed with loss: three of them, in base64, stay under 3 MB."""
MAX_SECONDS = 600.0
"""The longest file that is read."""


def read_audio(path: str | os.PathLike[str]) -> tuple[Sound, int]:
    """Read a sound file (WAV, FLAC, Ogg, MP3, AIFF, ...).

    Returns:
        audio float32 [samples], or [channels, samples] where there are several, and its samples a second.

    Raises:
        FormatError: missing, no sound, empty, longer than ten minutes, or it holds NaN.
    """
    import soundfile  # type: ignore[import-untyped]

    if not Path(path).is_file():
        raise FormatError(f"no sound file at {path}")
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > MAX_SECONDS * file.samplerate:
                raise FormatError(f"{path} is longer than {MAX_SECONDS:g} s: cut it")
            audio, rate = file.read(dtype="float32", always_2d=True).T, int(file.samplerate)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"cannot read {path} as a sound: {' '.join(str(error).split())}") from error
    try:
        check_audio(audio)
    except SettingError as error:
        raise FormatError(f"{path}: {error}") from error
    return (audio[0] if len(audio) == 1 else audio), rate


def check_audio(audio: Any) -> Sound:
    """``audio`` as float32; raises SettingError unless it is [samples] or [channels, samples], not empty and finite."""
    array = np.asarray(audio)
    if array.dtype.kind != "f" or array.ndim not in (1, 2):
        raise SettingError("the audio must be floats of shape [samples] or [channels, samples]")
    if array.size == 0:
        raise SettingError("the audio is empty")
    if not np.isfinite(array).all():
        raise SettingError("the audio holds NaN or infinity")
    return array.astype(np.float32, copy=False)


def resample(audio: Sound, rate: int, wanted: int) -> Sound:
    """``audio`` [samples] or [channels, samples] at ``wanted`` samples a second; as it is where that is its rate."""
    if rate <= 0 or wanted <= 0:
        raise SettingError(f"a sample rate must be above 0, not {min(rate, wanted)}")
    if rate == wanted:
        return audio
    import soxr  # type: ignore[import-untyped]

    made: Sound = soxr.resample(np.asarray(audio, dtype=np.float32).T, rate, wanted).T
    return made


def with_channels(audio: Sound, channels: int) -> Sound:
    """``audio`` as [channels, samples]: averaged to one channel, or the one repeated; others are averaged first."""
    rows = np.atleast_2d(audio)
    if len(rows) != channels:
        rows = np.repeat(rows.mean(0, keepdims=True, dtype=np.float64).astype(np.float32), channels, 0)
    return rows


def mono(audio: Any) -> Sound:
    """``audio`` [samples] or [channels, samples], checked and averaged to one channel, float32 [samples]."""
    made: Sound = with_channels(check_audio(audio), 1)[0]
    return made


def windows(audio: Sound, length: int) -> list[Sound]:
    """``audio`` [samples] in the fewest windows of ``length`` samples that cover it; whole where it is shorter."""
    count = -(-len(audio) // length)
    starts = np.linspace(0, max(len(audio) - length, 0), max(count, 1)).round().astype(int)
    return [audio[start : start + length] for start in starts]


def data_uri(audio: Sound, rate: int) -> str:
    """``audio`` as a ``data:`` address that browsers play: FLAC, without loss, or Ogg Vorbis where that is large.

    More than two channels are averaged to one, and rates that browsers refuse are raised.
    """
    rows = np.atleast_2d(audio)
    if len(rows) > 2:
        rows = with_channels(rows, 1)
    if rate < LOWEST_RATE:
        higher = rate * -(-LOWEST_RATE // rate)
        rows, rate = resample(rows, rate, higher), higher
    packed, kind = _pack(rows, rate, "FLAC", "PCM_16"), "flac"
    if len(packed) > PACKED_BYTES:
        packed, kind = _pack(rows, rate, "OGG", "VORBIS"), "ogg"
    return f"data:audio/{kind};base64,{base64.b64encode(packed).decode()}"


def _pack(rows: Sound, rate: int, container: str, coding: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    samples = np.ascontiguousarray(rows.T.clip(-1, 1 - 2.0**-15))
    with soundfile.SoundFile(buffer, "w", rate, rows.shape[0], coding, format=container) as file:
        for start in range(0, len(samples), rate):  # libsndfile's Vorbis overruns the stack when given minutes at once
            file.write(samples[start : start + rate])
    return buffer.getvalue()
