"""Explaining: a generation and a method in, an explanation out, with events on the way."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
import torch

from .adapter import Adapter
from .errors import NumericalError, SettingError
from .events import RunStart
from .generation import Generation
from .methods.base import Attribution
from .patching import patch
from .plugins.listeners import listeners
from .plugins.registry import method as load_method
from .replaying import Replayer
from .results import Explanation, diagnose


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
    if generation.model != model.key:
        raise SettingError(f"the generation was made by model {generation.model!r}, not by {model.key!r}")
    chosen, relay = load_method(method), listeners()
    steps = chosen.steps(**settings)
    relay.xattnmask_start(run=RunStart(generation.prompt, method, model.key, steps, settings))
    attribution = chosen.attribute(model, generation, seed=seed, on_step=lambda event: relay.xattnmask_step(event=event),
                                   **settings)
    explanation = _explanation(model, generation, method, seed, attribution)
    relay.xattnmask_end(explanation=explanation)
    return explanation


def regenerate(model: Adapter, generation: Generation, explanation: Explanation) -> dict[str, np.ndarray]:
    """Audio of ``generation`` made again from the same seed: ``factual`` under the mask M, ``counterfactual`` under 1 - M.

    The mask is the importance of the explanation, scaled to [0, 1] where a method's is not.
    """
    mask = position_mask(explanation.importance, generation)
    rows = torch.from_numpy(np.stack([mask, 1 - mask]))
    made = {}
    for name, row in zip(("factual", "counterfactual"), rows, strict=True):
        with patch(model, row[None], roles=_reading_roles(model, generation)):
            made[name] = model.regenerate(generation).audio
    return made


def frame_importance(attribution: Attribution, generation: Generation) -> np.ndarray:
    """Importance by frame, float32 [frames, tokens]: the mean over the positions that emit each frame."""
    return attribution.importance[generation.positions].mean(1).astype(np.float32)


def position_mask(importance: np.ndarray, generation: Generation) -> np.ndarray:
    """A mask in [0, 1] by position, float32 [positions, tokens]: the mean over the frames that each position emits."""
    highest, lowest = float(importance.max()), float(importance.min())
    if highest > 1 or lowest < 0:
        importance = (importance - lowest) / (highest - lowest)
    positions = generation.positions
    total = np.zeros((int(positions.max()) + 1, importance.shape[1]))
    np.add.at(total, positions, importance[:, None, :])
    return (total / np.bincount(positions.ravel())[:, None]).astype(np.float32)


def _explanation(model: Adapter, generation: Generation, method: str, seed: int, found: Attribution) -> Explanation:
    importance = frame_importance(found, generation)
    if not np.isfinite(importance).all():
        raise NumericalError(f"method {method!r} gave NaN or infinity")
    attention = Replayer(model, generation, context="joint").attention().cpu().numpy()
    explanation = Explanation(
        prompt=generation.prompt,
        tokens=generation.tokens,
        times=generation.times,
        importance=importance,
        attention=attention[generation.positions].mean(1).astype(np.float32),
        method=method,
        settings=dict(found.settings),
        model=generation.model,
        checkpoint=generation.checkpoint,
        seed=seed,
        generation_settings={"seed": generation.seed, **generation.settings},
        versions=_versions(model),
        losses={name: list(values) for name, values in found.losses.items()},
        converged=found.converged,
        sample_rate=generation.sample_rate,
        audio={"audio": generation.audio},
    )
    return replace(explanation, diagnostics=diagnose(explanation))


def _reading_roles(model: Adapter, generation: Generation) -> tuple[Any, ...]:
    offered = {site.role for site in model.sites(len(generation.tokens))}
    return ("cross",) if "cross" in offered else ("prefix",)


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
