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


def log_mel(audio: Tensor, *, window: int = WINDOW, hop: int = HOP, floor: float = FLOOR) -> Tensor:
    """Natural logarithm of mel magnitudes, float32 [batch, samples // hop, BANDS], of [batch, samples] at 16 kHz."""
    margin = (window - hop) // 2
    padded = F.pad(audio[:, None], (margin, margin), mode="reflect")[:, 0]
    spectrum = torch.stft(padded, window, hop, window=torch.hann_window(window), center=False, return_complex=True)
    magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    return torch.log((filters(window).T @ magnitude).clamp_min(floor)).transpose(1, 2)


@cache
def filters(window: int = WINDOW) -> Tensor:
    """The mel bands, float32 [frequencies, BANDS]."""
    bands = mel_filter_bank(
        window // 2 + 1, BANDS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return torch.tensor(bands, dtype=torch.float32)
