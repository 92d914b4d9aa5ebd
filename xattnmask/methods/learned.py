"""The learned mask: soft masks over text tokens, optimised so that M keeps the sound and 1 - M loses it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..plugins.hookspecs import hookimpl
from ..replaying import frozen_weights, in_force
from .base import Attribution, Method, OnStep
from .learned_settings import learned_settings
from .optimisation import Optimisation


class LearnedMask(Method):
    """Learns one soft mask over the tokens for each position (arXiv 2502.00459)."""

    name: ClassVar[str] = "learned"

    def steps(self, **settings: Any) -> int:
        return learned_settings(settings).steps

    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        chosen = learned_settings(settings)
        losses: dict[str, list[float]] = {}
        with torch.inference_mode(False), frozen_weights(model):
            run = Optimisation(model, generation, chosen, seed)
            for step in range(chosen.steps):
                values = run.step(step)
                for name, value in values.items():
                    losses.setdefault(name, []).append(value)
                on_step(StepEvent(step, chosen.steps, values))
                if run.settled(losses):
                    break
            importance = run.importance(step)
        # from what each word does it goes a few steps and not until it settles, so there is nothing to say
        converged = None if isinstance(chosen.start, str) else run.converged(losses)
        return Attribution(importance, in_force(run.settings, run.replayer), losses, converged, run.replayer.grid)


@hookimpl
def xattnmask_method() -> Method:
    """The learned mask."""
    return LearnedMask()
