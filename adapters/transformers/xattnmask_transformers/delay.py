"""MusicGen's delay pattern: codebook k of a frame is emitted k columns after codebook 0 of that frame.

Column 0 holds the start token in every codebook; a model reads columns 0..s and predicts column s + 1. Stereo
models interleave left and right codebooks, and the two of a pair share their delay.
"""

from __future__ import annotations

import numpy as np
import torch


def delays(codebooks: int, channels: int = 1) -> np.ndarray:
    """Delay of each codebook in columns, int [codebooks]."""
    return np.arange(codebooks) // channels


def delay(codes: torch.Tensor, delay_of: np.ndarray, start: int) -> torch.Tensor:
    """Input columns [K, F + max delay] that a decoder reads to predict ``codes`` [K, F]."""
    codebooks, frames = codes.shape
    columns = codes.new_full((codebooks, frames + int(delay_of.max()) + 1), start)
    for k, shift in enumerate(delay_of.tolist()):
        columns[k, shift + 1 : shift + 1 + frames] = codes[k]
    return columns[:, :-1]


def undelay(columns: torch.Tensor, delay_of: np.ndarray, frames: int) -> torch.Tensor:
    """Codes [K, F] from generated columns [K, at least F + max delay + 1], the start column included."""
    return torch.stack([columns[k, d + 1 : d + 1 + frames] for k, d in enumerate(delay_of.tolist())])


def emitters(frames: int, delay_of: np.ndarray) -> np.ndarray:
    """Which column's hidden state predicts codebook k of each frame, int [F, K]."""
    positions: np.ndarray = np.add.outer(np.arange(frames), delay_of)
    return positions
