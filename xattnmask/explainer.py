"""Explaining: a generation and a method in, an explanation out, with events on the way."""

from __future__ import annotations

import platform
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import Any, Literal

import numpy as np

from .adapter import Adapter
from .by_step import checked_cells, regenerate_steps, step_fields
from .diffusion import DiffusionAdapter
from .errors import NumericalError, SettingError
from .events import RunStart
from .generation import Generation
from .methods.base import Attribution
from .patching import RULES, patch
from .plugins.listeners import listeners
from .plugins.registry import method as load_method
from .positions import by_frame, by_position
from .replaying import Replayer, check_choice, default_depth, default_text_stretches, mask_roles
from .results import Explanation, diagnose

MaskKind = Literal["own", "stretched", "ranked"]
MASKS = ("own", "stretched", "ranked")
"""What :func:`mask_of` makes of importance."""


def explain(model: Adapter, generation: Generation, *, method: str = "learned", seed: int = 0,
            **settings: Any) -> Explanation:
    """Which words of the prompt made which part of ``generation``.

    Args:
        model: the adapter that made it.
        generation: what to explain.
        method: name of an attribution method; ``xattnmask methods`` lists them.
        seed: seed of the method's own randomness.
        settings: the method's settings; ``preset="paper"`` for the authors' procedure.

    Returns:
        Importance by frame and token, with everything needed to read it; nothing in it depends on the model.

    Raises:
        SettingError: a setting is unknown or out of range, or the generation is another model's.
        NumericalError: the model or the optimisation gave NaN or infinity.
        PatchError: a site could not be patched.
    """
    _check_model(model, generation)
    chosen, relay = load_method(method), listeners()
    steps = chosen.steps(**settings)
    relay.xattnmask_start(run=RunStart(generation.prompt, method, model.key, steps, settings))
    attribution = chosen.attribute(model, generation, seed=seed, on_step=relay.xattnmask_step, **settings)
    explanation = _explanation(model, generation, method, seed, attribution)
    relay.xattnmask_end(explanation=explanation)
    return explanation


def regenerate(model: Adapter, generation: Generation, explanation: Explanation, *,
               seed: int | None = None, mask: MaskKind = "own") -> dict[str, np.ndarray]:
    """Make the audio of ``generation`` again with and without the important words.

    The mask M is that of :func:`mask_of` and acts as the method's own masks did (its rule, layers, heads and depth);
    for methods that mask nothing, by ``scale`` everywhere, at the depth that is the model's default.

    Args:
        model: the adapter that made it.
        generation: what was explained.
        explanation: of the whole of it.
        seed: the sampling's; by default that of the generation, so that M = 1 makes the same sound again.
        mask: as in :func:`mask_of`.

    Returns:
        Audio by name: ``factual`` under M, ``counterfactual`` under 1 - M.

    Raises:
        SettingError: the generation is another model's, the explanation is not of the whole of it, or there is no such
            kind of mask.
    """
    made = mask_of(model, generation, explanation, mask)
    if isinstance(model, DiffusionAdapter):
        run = partial(_regenerated_by_step, model, generation, explanation, seed)
    else:
        run = partial(_regenerated, model, generation, explanation, seed)
    return {"factual": run(made), "counterfactual": run(1 - made)}


def mask_of(model: Adapter, generation: Generation, explanation: Explanation, mask: MaskKind = "own") -> np.ndarray:
    """The mask M in [0, 1] that an explanation stands for: [positions, tokens], or [steps, times, tokens] (diffusion).

    ``own`` is its importance, stretched over [0, 1] from its lowest value to its highest where a method's leaves that.
    The others make masks that can be compared of methods whose importance is in other units than a mask's:
    ``stretched`` always stretches it; ``ranked`` takes the share of cells that are less important, so that all masks
    are of the same size and only the order of cells counts. Errors as :func:`regenerate`.
    """
    _check_model(model, generation)
    check_choice("mask", mask, MASKS)
    scale = {"own": _unit_range, "stretched": _stretched, "ranked": _ranked}[mask]
    if isinstance(model, DiffusionAdapter):
        return scale(checked_cells(generation, explanation))
    _check_whole(generation, explanation)
    return position_mask(scale(explanation.importance), generation)


def frame_importance(attribution: Attribution, generation: Generation) -> np.ndarray:
    """Importance by frame, float32 [frames, tokens]: the mean over the positions that emit each frame."""
    return by_frame(attribution.importance, generation.positions)


def position_mask(importance: np.ndarray, generation: Generation) -> np.ndarray:
    """A mask in [0, 1] by position, float32 [positions, tokens]: the mean over the frames that each position emits.

    ``importance`` [frames, tokens] that leaves [0, 1] is stretched over it from its lowest value to its highest. A
    position that emits nothing takes the mask of the nearest one that does.
    """
    return by_position(_unit_range(importance), generation.positions)


def _unit_range(importance: np.ndarray) -> np.ndarray:
    """Unchanged if in [0, 1]; one value for all, which singles nothing out, becomes 1."""
    return importance if importance.min() >= 0 and importance.max() <= 1 else _stretched(importance)


def _stretched(importance: np.ndarray) -> np.ndarray:
    """From its lowest value, 0, to its highest, 1; one value for all, which singles nothing out, becomes 1."""
    low, high = float(importance.min()), float(importance.max())
    return (importance - low) / (high - low) if high > low else np.ones_like(importance)


def _ranked(importance: np.ndarray) -> np.ndarray:
    """The share of cells below each, and half of those level with it; one value for all becomes 1."""
    if importance.min() == importance.max():
        return np.ones_like(importance)
    _, places, counts = np.unique(importance, return_inverse=True, return_counts=True)
    below = (np.cumsum(counts) - counts / 2) / importance.size
    return below[places].reshape(importance.shape).astype(importance.dtype)


def _explanation(model: Adapter, generation: Generation, method: str, seed: int, found: Attribution) -> Explanation:
    if not np.isfinite(found.importance).all():
        raise NumericalError(f"method {method!r} gave NaN or infinity")
    if isinstance(model, DiffusionAdapter):
        measured = step_fields(model, generation, found)
    else:
        measured = _frame_fields(model, generation, found)
    explanation = Explanation(
        prompt=generation.prompt,
        tokens=generation.tokens,
        method=method,
        settings={**found.settings, "seed": seed},
        model=generation.model,
        checkpoint=generation.checkpoint,
        seed=generation.seed,
        generation_settings={"seed": generation.seed, **generation.settings, **_encoded(generation)},
        versions=_versions(model),
        losses={name: list(values) for name, values in found.losses.items()},
        converged=found.converged,
        sample_rate=generation.sample_rate,
        audio={"audio": generation.audio},
        **measured,
    )
    return replace(explanation, diagnostics=diagnose(explanation))


def _frame_fields(model: Adapter, generation: Generation, found: Attribution) -> dict[str, Any]:
    """The fields that hold importance, for an attribution by position of an autoregressive model."""
    attention = Replayer(model, generation, context="joint").attention().cpu().numpy()
    return {
        "times": generation.times,
        "importance": frame_importance(found, generation),
        "attention": by_frame(attention, generation.positions),
    }


def _regenerated(
    model: Adapter, generation: Generation, explanation: Explanation, seed: int | None, mask: np.ndarray
) -> np.ndarray:
    with patch(model, mask[None], **_mask_settings(model, explanation)):
        return model.regenerate(generation, seed).audio


def _regenerated_by_step(
    model: DiffusionAdapter, generation: Generation, explanation: Explanation, seed: int | None, mask: np.ndarray
) -> np.ndarray:
    return regenerate_steps(model, generation, explanation, mask, seed, **_mask_settings(model, explanation))


def _encoded(generation: Generation) -> dict[str, bool]:
    """Tells a sound that the model did not make, where it did not."""
    return {"encoded": True} if generation.encoded else {}


def _check_model(model: Adapter, generation: Generation) -> None:
    if generation.model != model.key:
        raise SettingError(f"the generation was made by model {generation.model!r}, not by {model.key!r}")


def _check_whole(generation: Generation, explanation: Explanation) -> None:
    frames, shape = len(generation.positions), explanation.importance.shape
    if explanation.prompt != generation.prompt or shape != (frames, len(generation.tokens)):
        raise SettingError(
            f"the explanation has {shape[0]} frames of {explanation.prompt!r} and the generation {frames} of "
            f"{generation.prompt!r}: regenerate from the explanation of the whole generation"
        )


def _mask_settings(model: Adapter, explanation: Explanation) -> dict[str, Any]:
    """Arguments of ``patch`` that mask as the method of ``explanation`` did."""
    used = dict(explanation.settings) if "rule" in explanation.settings else {}
    if used.get("rule") not in RULES:  # a suppressed token is still read: that is no rule to take words away by
        used.pop("rule", None)
    count = len(explanation.tokens)
    depth = used.get("depth") or default_depth(model, count)
    if isinstance(model, DiffusionAdapter):
        used.setdefault("text_stretches", 1 if used else default_text_stretches(model, depth))
    names = ("rule", "layers", "heads", "streams", "text_stretches")
    return {"roles": mask_roles(model, count, depth), **{name: used[name] for name in names if name in used}}


def _versions(model: Adapter) -> dict[str, str]:
    """Versions of what can change a result."""
    names = dict.fromkeys(["xattnmask", "torch", model.library])
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
