"""Explanations of diffusion models: importance by denoising step and time, from what a method found by cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .diffusion import DiffusionAdapter
from .errors import SettingError
from .generation import Generation
from .methods.base import Attribution
from .patching import patch_steps
from .replaying import Grid, StepReplayer
from .results import Explanation
from .results.steps import DEFAULT_AGGREGATE, over_frames, over_steps


def step_fields(model: DiffusionAdapter, generation: Generation, found: Attribution) -> dict[str, Any]:
    """The fields of an Explanation that hold importance, for an attribution by cell.

    Importance in a stretch of audio is the mean over steps, weighted by how far the text moves the prediction at each
    (:data:`xattnmask.results.steps.DEFAULT_AGGREGATE`); the steps' own importances and other weights are kept.
    """
    grid = found.grid
    assert grid is not None
    cells = found.importance.reshape(len(grid.steps), grid.bins, -1).astype(np.float32)
    replayer = StepReplayer(model, generation, grid)
    attention = _attention(replayer, grid)
    weights = _weights(replayer, generation, grid, attention)
    times = grid.edges(generation.times)
    return {
        "times": times,
        "importance": over_steps(cells, weights, DEFAULT_AGGREGATE),
        "steps": np.asarray(grid.steps, dtype=np.float64),
        "step_importance": over_frames(cells, np.diff(times)),
        "step_time_importance": cells,
        "step_weights": weights,
        "attention": None if attention is None else over_steps(attention, weights, DEFAULT_AGGREGATE),
    }


def regenerate_steps(
    model: DiffusionAdapter, generation: Generation, explanation: Explanation, mask: np.ndarray,
    seed: int | None = None, **patching: Any,
) -> np.ndarray:  # fmt: skip
    """Audio of ``generation`` made again, each step under its own part of ``mask`` [steps, times, tokens]."""
    assert explanation.steps is not None
    steps = [int(step) for step in explanation.steps]
    with patch_steps(model, torch.tensor(mask), steps, **patching):
        return model.regenerate(generation, seed).audio


def checked_cells(generation: Generation, explanation: Explanation) -> np.ndarray:
    """Importance by cell; raises SettingError unless ``explanation`` is of the whole of ``generation``."""
    ends = (explanation.times[0], explanation.times[-1])
    same = np.allclose(ends, (generation.times[0], generation.times[-1]))
    cells = explanation.step_time_importance
    if explanation.prompt != generation.prompt or cells is None or not same:
        raise SettingError(
            f"the explanation is of {explanation.prompt!r} from {ends[0]:.2f} to {ends[1]:.2f} s: regenerate from the "
            f"explanation of the whole generation of {generation.prompt!r}"
        )
    return cells


def _attention(replayer: StepReplayer, grid: Grid) -> np.ndarray | None:
    """Float32 [steps, bins, tokens], or None where the audio reads no single words."""
    try:
        found: np.ndarray = replayer.attention().cpu().numpy().reshape(len(grid.steps), grid.bins, -1)
    except SettingError:
        return None
    return found


def _weights(
    replayer: StepReplayer, generation: Generation, grid: Grid, attention: np.ndarray | None
) -> Mapping[str, list[float]]:
    assert generation.noise_levels is not None
    special = np.array([token.special for token in generation.tokens])
    weights = {"text": replayer.moved().cpu().numpy(), "noise": generation.noise_levels[list(grid.steps)]}
    if attention is not None:
        weights["attention"] = attention[:, :, ~special].sum(-1).mean(1)
    return {name: [float(w) for w in values] for name, values in weights.items()}
