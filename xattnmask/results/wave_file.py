"""16-bit PCM WAV files through the standard library."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import FormatError

_SCALE = 2.0**15
_HEADER = 44


def write_wave(path: Path, audio: npt.NDArray[np.float32], sample_rate: int) -> None:
    """Write ``audio`` [samples] or [channels, samples] as 16-bit PCM, clipped to [-1, 1) and rounded to 2**-15."""
    samples = np.clip(np.rint(np.atleast_2d(audio) * _SCALE), -_SCALE, _SCALE - 1).astype("<i2")
    with path.open("wb") as handle, wave.open(handle, "wb") as file:
        file.setnchannels(samples.shape[0])
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.T.tobytes())


def read_wave(path: Path, sample_rate: int) -> npt.NDArray[np.float32]:
    """Audio float32 [samples], or [channels, samples] when there are several, exactly as it was written.

    Raises:
        FormatError: missing, not 16-bit PCM, cut short, or of another sample rate.
    """
    try:
        if not path.is_file():
            raise FormatError(f"no audio at {path}; without it, load with audio=False")
        with path.open("rb") as handle, wave.open(handle, "rb") as file:
            return _read(file, path, sample_rate)
    except FormatError:
        raise
    except (OSError, EOFError, wave.Error, ValueError, OverflowError, RuntimeError) as error:  # wave raises all these
        raise FormatError(f"cannot read {path} as 16-bit PCM WAV: {str(error) or type(error).__name__}") from error


def _read(file: wave.Wave_read, path: Path, sample_rate: int) -> npt.NDArray[np.float32]:
    channels, width, rate, count = file.getparams()[:4]
    if width != 2:
        raise FormatError(f"{path} has {8 * width}-bit samples, 16-bit ones are needed")
    if rate != sample_rate:
        raise FormatError(f"{path} has {rate} samples a second, but explanation.json says {sample_rate}")
    size = count * channels * width
    if size + _HEADER > path.stat().st_size:
        raise FormatError(f"{path} is cut short")
    data = file.readframes(count)
    if len(data) != size:
        raise FormatError(f"{path} is cut short")
    samples = np.frombuffer(data, dtype="<i2").reshape(count, channels).T
    audio: npt.NDArray[np.float32] = np.asarray(samples / np.float32(_SCALE), dtype=np.float32)
    return audio[0] if channels == 1 else audio
