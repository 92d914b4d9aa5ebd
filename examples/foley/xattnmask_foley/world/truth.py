"""Which words cause which frames, computed by swapping words and rendering again."""

from __future__ import annotations

import numpy as np

from .grammar import Caption
from .render import frame_rms, render

_AUDIBLE_CHANGE = 10 ** (-60 / 20)


def truth(caption: Caption, seed: int, frames: int) -> np.ndarray:
    """Which word causes which frame: bool [frames, words].

    A word causes a frame if swapping it for another word of its class, with all random draws kept, changes
    what is rendered in that frame (by more than -60 dB of full scale). Words of one unit share its truth.
    """
    original = render(caption, seed)
    units = np.zeros((frames, len(caption.units)), dtype=bool)
    for index in range(len(caption.units)):
        for other in caption.swaps(index):
            units[:, index] |= frame_rms(render(other, seed) - original, frames) > _AUDIBLE_CHANGE
    return units[:, caption.unit_of_word()]
