"""Sounds to codes, by the model's own compression model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xattnmask.errors import SettingError


def encode(codec: Any, rows: np.ndarray, codebooks: int) -> torch.Tensor:
    """Codes int64 [codebooks, frames] of ``rows`` float32 [channels, samples] at the codec's rate.

    What is left of the last frame is silence.

    Raises:
        SettingError: the codec evens out loudness, which it cannot give back from codes alone.
    """
    hop = round(codec.sample_rate / codec.frame_rate)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % hop)))
    weight = next(codec.parameters())
    codes, scale = codec.encode(torch.from_numpy(padded).to(weight.device, weight.dtype)[None])
    if scale is not None:
        raise SettingError("this model's codec evens out loudness: it cannot take in a sound")
    found: torch.Tensor = codes[0, :codebooks]
    return found
