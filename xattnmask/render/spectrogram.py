"""A log-mel spectrogram, for pictures only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FLOOR_DB = -70.0
_WINDOW_SECONDS = 0.046
_LOWEST_HZ = 40.0
_MAX_COLUMNS = 1200


def mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The mel scale (O'Shaughnessy), where low frequencies get the room they get in hearing."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, dtype=np.float64) / 700.0)


def spectrogram(audio: npt.NDArray[np.float32], sample_rate: int, bands: int = 128,
                loudest: float | None = None) -> npt.NDArray[np.float64]:
    """Decibels [bands, columns] below the loudest point, from 0 to FLOOR_DB; silence is FLOOR_DB throughout.

    ``audio`` is [samples] or [channels, samples] (averaged). Bands are equally spaced in mel from 40 Hz to
    half the sample rate; columns are equally spaced in time over the whole audio. ``loudest`` is the energy at 0 dB,
    by default the audio's own :func:`loudest_energy`; another's makes the two comparable.
    """
    energy = _energy(audio, sample_rate, bands)
    loudest = float(energy.max()) if loudest is None else loudest
    if loudest <= 0:
        return np.full(energy.T.shape, FLOOR_DB)
    return np.asarray((10 * np.log10(np.maximum(energy.T / loudest, 1e-12))).clip(FLOOR_DB, 0))


def loudest_energy(audio: npt.NDArray[np.float32], sample_rate: int, bands: int = 128) -> float:
    """The energy of the loudest point of a spectrogram."""
    return float(_energy(audio, sample_rate, bands).max())


def _energy(audio: npt.NDArray[np.float32], sample_rate: int, bands: int) -> npt.NDArray[np.float64]:
    """Energy [columns, bands]."""
    mono = np.atleast_2d(audio).mean(axis=0, dtype=np.float64)
    size = max(64, 2 ** round(np.log2(_WINDOW_SECONDS * sample_rate)))
    hop = max(size // 4, -(-len(mono) // _MAX_COLUMNS))
    padded = np.pad(mono if len(mono) else np.zeros(1), (size // 2, size // 2 + hop), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: max(1, -(-len(mono) // hop))]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    return np.asarray(power @ _filters(size, sample_rate, bands).T)


def _filters(size: int, sample_rate: int, bands: int) -> npt.NDArray[np.float64]:
    """Triangles [bands, bins], at least one bin wide, so that low bands are never empty."""
    bins = mel(np.fft.rfftfreq(size, 1 / sample_rate))
    centres = np.linspace(mel(_LOWEST_HZ), mel(sample_rate / 2), bands)
    nearest = np.diff(bins, prepend=0.0)[np.searchsorted(bins, centres).clip(1, len(bins) - 1)]
    width = np.maximum(nearest, centres[1] - centres[0])
    weights = np.maximum(0.0, 1.0 - np.abs(bins[None, :] - centres[:, None]) / width[:, None])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
