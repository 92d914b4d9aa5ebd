"""From denoising steps to one importance: which steps count, and how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import SettingError

StepAggregate = Literal["mean", "max", "text", "noise", "attention"]
DEFAULT_AGGREGATE: StepAggregate = "text"


def over_steps(
    cells: npt.NDArray[np.float32], weights: Mapping[str, Sequence[float]],
    aggregate: StepAggregate = DEFAULT_AGGREGATE, window: tuple[float, float] = (0.0, 1.0),
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Importance [T, L] from that by step [S, T, L].

    Args:
        cells: importance by step, stretch of audio and token.
        weights: by name, one number a step.
        aggregate: ``mean`` or ``max`` of the steps, or their mean weighted by how far the ``text`` moves the prediction
            there, by the share of ``noise``, or by the ``attention`` on the words.
        window: the part of the steps that counts, as shares of their number: (0, 0.5) for the early half.

    Raises:
        SettingError: an unknown aggregate, weights that were not recorded, or an empty window.
    """
    if aggregate not in get_args(StepAggregate):
        raise SettingError(f"aggregate must be one of {', '.join(get_args(StepAggregate))}, not {aggregate!r}")
    start, end = window
    if not 0 <= start < end <= 1:
        raise SettingError(f"window must be two shares from 0 to 1, the first below the second, not {start} and {end}")
    places = (np.arange(len(cells)) + 0.5) / len(cells)
    inside = (places >= start) & (places < end)
    if not inside.any():
        raise SettingError(f"no denoising step lies in the window {start} to {end}: widen it")
    chosen = cells[inside]
    if aggregate == "max":
        return np.asarray(chosen.max(0), dtype=np.float32)
    return np.asarray(np.average(chosen, axis=0, weights=_weights(weights, aggregate, inside)), dtype=np.float32)


def _weights(
    weights: Mapping[str, Sequence[float]], aggregate: StepAggregate, inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    """Float64 [chosen steps], or None for equal ones, as also where all recorded ones are 0."""
    if aggregate == "mean":
        return None
    if aggregate not in weights:
        raise SettingError(f"this explanation has no step weights {aggregate!r}: it has {', '.join(weights) or 'none'}")
    found = np.asarray(weights[aggregate], dtype=np.float64)[inside]
    return found if found.sum() > 0 else None


def over_frames(cells: npt.NDArray[np.float32], durations: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Importance by step [S, L] from that by step and frame [S, T, L]: the mean over frames, weighted by seconds."""
    return np.asarray(np.average(cells, axis=1, weights=durations), dtype=np.float32)
