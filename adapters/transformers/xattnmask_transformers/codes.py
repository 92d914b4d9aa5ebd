"""Sounds to codes, by the model's own EnCodec."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def encode(codec: Any, rows: np.ndarray, codebooks: int) -> torch.Tensor:
    """Codes int64 [channels * codebooks, frames] of ``rows`` float32 [channels, samples] at the codec's rate.

    Each channel is coded by itself, and the codebooks of the channels alternate, as stereo MusicGen has them. What is
    left of the last frame is silence. The codec's normalisation, if it has one, is left out, as it is in generation.
    """
    hop = codec.config.hop_length
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % hop)))
    samples = torch.from_numpy(padded).to(codec.device, codec.dtype)[:, None]
    latents = codec.encoder(samples)
    codes: torch.Tensor = codec.quantizer.encode(latents, max(codec.config.target_bandwidths))  # [books, channels, T]
    return codes[:codebooks].flatten(0, 1)
