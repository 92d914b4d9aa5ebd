"""How audiocraft lays the codes of several codebooks into one sequence: a delay pattern, or any other it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def columns(pattern: Any, codes: torch.Tensor, special: int) -> torch.Tensor:
    """The columns [K, positions] that a model reads to predict ``codes`` [K, frames]: all but the pattern's last."""
    sequence: torch.Tensor = pattern.build_pattern_sequence(codes[None].contiguous(), special)[0]
    return sequence[0, :, :-1]


def emitters(pattern: Any) -> np.ndarray:
    """Which position's hidden state predicts codebook k of each frame, int [frames, K]: that of the step before."""
    found = np.zeros((pattern.timesteps, pattern.n_q), dtype=int)
    for step, coordinates in enumerate(pattern.layout):
        for frame, codebook in coordinates:
            if frame < pattern.timesteps:
                found[frame, codebook] = step - 1
    return found
