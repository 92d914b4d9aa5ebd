"""The spectrogram that a pipeline's VAE was trained on, which pipelines do not keep: they hold its vocoder alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers.audio_utils import hertz_to_mel, mel_filter_bank, mel_to_hertz, spectrogram, window_function

from xattnmask.errors import SettingError

_WINDOW_MS = 64
_OPTIONAL = {"n_fft": "window", "fmin": "lowest", "fmax": "highest", "mel_floor": "floor"}
"""What a vocoder's configuration may hold besides its own, under the names that HiFi-GAN's has, and ours."""


@dataclass(frozen=True)
class MelSpectrogram:
    """Magnitudes by mel band, and their natural logarithm, as HiFi-GAN and the trainings of AudioLDM have them.

    Bands are Slaney's, in scale and norm (librosa's default). Frame k is the window around the middle of the k-th hop,
    so that the vocoder makes of a frame the samples that it stands for; at the ends the sound is mirrored.

    Attributes:
        rate: samples a second.
        hop: samples from one frame to the next.
        bands: number of mel bands.
        window: samples of the Hann window, and of its Fourier transform.
        lowest, highest: the range of the bands in Hz.
        floor: below this a band's magnitude is raised to it.
    """

    rate: int
    hop: int
    bands: int
    window: int
    lowest: float
    highest: float
    floor: float = 1e-5

    def __post_init__(self) -> None:
        if not self.hop <= self.window:
            raise SettingError(f"the window must have at least {self.hop} samples, the hop's, not {self.window}")
        if not 0 <= self.lowest < self.highest <= self.rate / 2:
            raise SettingError(f"mel bands lie from 0 to {self.rate / 2:g} Hz, not {self.lowest:g} to {self.highest:g}")
        if not self.floor > 0:
            raise SettingError(f"the floor must be above 0, not {self.floor:g}")

    @classmethod
    def of(cls, vocoder: Any) -> MelSpectrogram:
        """That of a vocoder's configuration.

        Rate, hop (the product of its upsampling rates) and bands are the vocoder's. The rest is taken from ``n_fft``,
        ``fmin``, ``fmax`` and ``mel_floor`` where the configuration holds them, and else is what AudioLDM was trained
        with: the power of two at or below 64 ms (1024 at 16 kHz), all frequencies, and 1e-5.
        """
        rate, hop = int(vocoder.sampling_rate), int(np.prod(vocoder.upsample_rates))
        window = 1 << max(rate * _WINDOW_MS // 1000, 1).bit_length() - 1
        values: dict[str, Any] = {"window": max(window, hop), "lowest": 0.0, "highest": rate / 2}
        for theirs, ours in _OPTIONAL.items():
            if getattr(vocoder, theirs, None) is not None:
                values[ours] = getattr(vocoder, theirs)
        return cls(rate=rate, hop=hop, bands=int(vocoder.model_in_dim), **values)

    def __call__(self, samples: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
        """Log magnitudes [frames, bands] of ``samples`` [n]; what they lack is silence, and what is over is cut."""
        sound = np.zeros(frames * self.hop, dtype=np.float32)
        heard = samples[: len(sound)]
        sound[: len(heard)] = heard
        around = self.window - self.hop
        mirrored = np.pad(sound, (around // 2, around - around // 2), mode="reflect")
        found = spectrogram(
            mirrored, window_function(self.window, "hann"), frame_length=self.window, hop_length=self.hop, center=False,
            mel_filters=self._filters, mel_floor=self.floor, log_mel="log",
        )  # fmt: skip
        return np.asarray(found.T, dtype=np.float32)

    def edges(self) -> npt.NDArray[np.float64]:
        """Where one band begins to be nearer than the one before, in Hz, [bands + 1]."""
        low, high = (float(hertz_to_mel(float(edge), "slaney")) for edge in (self.lowest, self.highest))
        middles = low + (np.arange(self.bands + 1) + 0.5) * (high - low) / (self.bands + 1)
        return np.asarray(mel_to_hertz(middles, "slaney"), dtype=np.float64)

    @cached_property
    def _filters(self) -> npt.NDArray[np.float64]:
        filters: npt.NDArray[np.float64] = mel_filter_bank(
            num_frequency_bins=self.window // 2 + 1, num_mel_filters=self.bands, min_frequency=self.lowest,
            max_frequency=self.highest, sampling_rate=self.rate, norm="slaney", mel_scale="slaney",
        )  # fmt: skip
        return filters
