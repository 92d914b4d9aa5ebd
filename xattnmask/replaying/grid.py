"""Cells of a diffusion generation: some denoising steps times some stretches of audio. Plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import SettingError


@dataclass(frozen=True)
class Grid:
    """Cells by step, then by stretch of audio: cell s * bins + b is stretch b at the s-th of ``steps``.

    Attributes:
        steps: which calls of the denoiser, ascending.
        bins: how many stretches the audio is cut into.
        columns: how many columns the latents have along the audio's time.
    """

    steps: tuple[int, ...]
    bins: int
    columns: int

    @property
    def cells(self) -> int:
        """Their number."""
        return len(self.steps) * self.bins

    def bin_of_column(self) -> npt.NDArray[np.int64]:
        """Which stretch each column of the latents lies in, by its middle; no stretch is empty."""
        found: npt.NDArray[np.int64] = ((np.arange(self.columns) + 0.5) / self.columns * self.bins).astype(np.int64)
        return found

    def edges(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Edges [bins + 1] in seconds, from those of the columns [columns + 1]."""
        first = np.searchsorted(self.bin_of_column(), np.arange(self.bins))
        return np.append(times[first], times[-1])


def choose_steps(total: int, count: int | None, window: tuple[float, float] = (0.0, 1.0)) -> tuple[int, ...]:
    """``count`` of ``total`` denoising steps, evenly spaced in a window (shares of the way from noise to audio).

    Evenly in the schedule's own order, so that its spacing in noise levels is respected; the middles of ``count``
    equal parts, all steps of the window where there are no more.

    Raises:
        SettingError: the window is empty or leaves 0 to 1.
    """
    start, end = window
    if not 0 <= start < end <= 1:
        raise SettingError(f"window must be two shares from 0 to 1, the first below the second, not {start} and {end}")
    inside = [step for step in range(total) if start <= (step + 0.5) / total < end or total == 1]
    if not inside:
        raise SettingError(f"no denoising step lies in the window {start} to {end} of {total}: widen it")
    if count is None or count >= len(inside):
        return tuple(inside)
    return tuple(inside[int((k + 0.5) * len(inside) / count)] for k in range(count))
