"""Explanations of diffusion models: importance by denoising step and time, from what a method found by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .adapter import Adapter
from .diffusion import DiffusionAdapter
from .errors import SettingError
from .generation import Generation
from .methods.base import Attribution
from .patching import Layers, patch_steps
from .replaying import ROWS, Grid, PlaneSum, StepReplayer, View, grid_of
from .results import AttentionMap, Explanation
from .results.steps import DEFAULT_AGGREGATE, over_frames, over_steps


def step_fields(model: DiffusionAdapter, generation: Generation, found: Attribution) -> dict[str, Any]:
    """The fields of an Explanation that hold importance, for an attribution by cell.

    Importance in a stretch of audio is the mean over steps, weighted by how far the text moves the prediction at each
    (:data:`xattnmask.results.steps.DEFAULT_AGGREGATE`); the steps' own importances and other weights are kept.
    """
    grid = found.grid
    assert grid is not None
    cells = found.importance.reshape(len(grid.steps), grid.bins, -1).astype(np.float32)
    replayer = StepReplayer(model, generation, grid, rows=found.settings.get("rows", ROWS))
    attention, plane = _attention(replayer, generation, grid)
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
        "attention_map": plane,
    }


def regenerate_steps(
    model: DiffusionAdapter, generation: Generation, explanation: Explanation, mask: np.ndarray,
    seed: int | None = None, **patching: Any,
) -> np.ndarray:  # fmt: skip
    """Audio of ``generation`` made again, each step under its own part of ``mask`` [steps, times, tokens]."""
    assert explanation.steps is not None
    steps = [int(step) for step in explanation.steps]
    with patch_steps(model, mask, steps, **patching):
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


def attention_map(model: Adapter, generation: Generation, *, denoising_steps: int | None = None,
                  window: Sequence[float] | None = None, layers: Layers = "all") -> AttentionMap:
    """How much of its attention the model gives each token, by time and frequency (Tang et al., 2022).

    Explanations of such models come with it (``Explanation.attention_map``); this is for those who want nothing else.

    Args:
        model: the adapter that made ``generation``.
        generation: what is replayed, once.
        denoising_steps, window: which denoising steps count, as in :func:`xattnmask.explain`.
        layers: which sites count, as in :func:`xattnmask.patch`.

    Raises:
        SettingError: the model reads no single words, or its latents are no spectrogram; or a setting is out of range.
    """
    if not isinstance(model, DiffusionAdapter) or model.frequencies is None:
        raise SettingError(f"model {model.key!r} has no latents of time and frequency: no map can be drawn of it")
    grid = grid_of(generation, View(denoising_steps=denoising_steps, window=window, bins=1))
    _, found = _attention(StepReplayer(model, generation, grid, layers=layers), generation, grid, strict=True)
    if found is None:
        raise SettingError(f"no site of model {model.key!r} says where its queries lie in time and frequency")
    return found


def _attention(replayer: StepReplayer, generation: Generation, grid: Grid,
               strict: bool = False) -> tuple[np.ndarray | None, AttentionMap | None]:
    """Float32 [steps, bins, tokens], and the map; None where there are none, or, if ``strict``, an error."""
    edges = replayer.model.frequencies
    plane = None if edges is None else PlaneSum(len(generation.positions), len(edges) - 1)
    try:
        found = replayer.attention(plane)
    except SettingError:
        if strict:
            raise
        return None, None
    mean = None if plane is None else plane.mean()
    drawn = None if mean is None or edges is None else AttentionMap(mean.cpu().numpy(), generation.times, edges)
    return found.cpu().numpy().reshape(len(grid.steps), grid.bins, -1), drawn


def _weights(
    replayer: StepReplayer, generation: Generation, grid: Grid, attention: np.ndarray | None
) -> Mapping[str, list[float]]:
    assert generation.noise_levels is not None
    special = np.array([token.special for token in generation.tokens])
    weights = {"text": replayer.moved().cpu().numpy(), "noise": generation.noise_levels[list(grid.steps)]}
    if attention is not None:
        weights["attention"] = attention[:, :, ~special].sum(-1).mean(1)
    return {name: [float(w) for w in values] for name, values in weights.items()}
