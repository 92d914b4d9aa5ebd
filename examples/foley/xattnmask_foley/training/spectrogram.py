"""The log-mel spectrograms that the diffusion models' autoencoder and vocoder know: HiFi-GAN's, 50 frames a second."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

from ..world import DURATION, SAMPLE_RATE

HOP, WINDOW, BANDS = 320, 1024, 64
FRAMES = int(DURATION * SAMPLE_RATE) // HOP
FLOOR = 1e-5
"""Magnitude that counts as silence, AudioLDM's."""


def log_mel(audio: Tensor) -> Tensor:
    """Natural logarithm of mel magnitudes, float32 [batch, samples // HOP, BANDS], of [batch, samples] at 16 kHz."""
    margin = (WINDOW - HOP) // 2
    padded = F.pad(audio[:, None], (margin, margin), mode="reflect")[:, 0]
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, center=False, return_complex=True)
    magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    return torch.log((_filters().T @ magnitude).clamp_min(FLOOR)).transpose(1, 2)


@cache
def _filters() -> Tensor:
    bands = mel_filter_bank(
        WINDOW // 2 + 1, BANDS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return torch.tensor(bands, dtype=torch.float32)
