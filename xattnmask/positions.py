"""From frames of audio to sequence positions and back; plain arrays, for any backbone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def by_frame(values: npt.NDArray[np.floating], positions: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """``values`` [positions, ...] by frame, float32 [frames, ...]: the mean over the positions that emit each frame.

    ``positions`` is a generation's, int [frames, k].
    """
    mean: npt.NDArray[np.float32] = values[positions].mean(1, dtype=np.float64).astype(np.float32)
    return mean


def by_position(values: npt.NDArray[np.floating], positions: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """``values`` [frames, tokens] by position, float32 [positions, tokens]: the mean over the frames each one emits.

    A position that emits nothing takes the values of the nearest one that does. ``positions`` is a generation's, int
    [frames, k]. No value leaves the range of ``values``.
    """
    emitted = np.bincount(positions.ravel())
    total = np.zeros((len(emitted), values.shape[1]))
    np.add.at(total, positions, values[:, None, :])
    mean = total / np.maximum(emitted, 1)[:, None]
    used = np.flatnonzero(emitted)
    nearest = used[np.abs(np.arange(len(emitted))[:, None] - used).argmin(1)]
    found: npt.NDArray[np.float32] = mean[nearest].clip(values.min(), values.max()).astype(np.float32)
    return found
