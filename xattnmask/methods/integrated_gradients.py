"""Integrated gradients of the mask over words, from no words to all (Sundararajan et al., 2017), by Captum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..plugins.hookspecs import hookimpl
from ..replaying import frozen_weights, in_force
from .base import Attribution, Method, OnStep
from .forward import MaskedForward
from .on_captum import CaptumSettings, captum, forward_of
from .settings import check_whole, settings_of


@dataclass(frozen=True)
class IntegratedGradientsSettings(CaptumSettings):
    """As :class:`CaptumSettings`; ``steps``: points on the way from no words to all, one forward and backward each.

    ``context`` is by default ``frozen`` where the model can, else ``joint``.
    """

    steps: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("steps", self.steps, 2)


class IntegratedGradients(Method):
    """The score's gradient by each word's mask, meaned over the way from no words to all (arXiv 1703.01365).

    Each position has a mask of its own, and the sum of all scores is differentiated. Where no position reaches another
    (contexts ``none`` and ``frozen``) one gradient is thus each position's own, and at each the values of all words sum
    to the score of the whole prompt less that without its words (completeness). Elsewhere this holds of the sums over
    positions (of a diffusion model, over the stretches of each step), and a value is that of the mask *at* a position.
    """

    name: ClassVar[str] = "integrated-gradients"

    def steps(self, **settings: Any) -> int:
        settings_of(IntegratedGradientsSettings, self.name, settings)
        return 1

    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        attr, s = captum(), settings_of(IntegratedGradientsSettings, self.name, settings)
        with torch.inference_mode(False), frozen_weights(model):
            forward = forward_of(model, generation, s, s.context)
            parts = forward.replayer.parts
            values = []
            for index, part in enumerate(parts):
                values.append(_values(attr, forward, s, part))
                on_step(StepEvent(index, len(parts), {}))
        s = replace(s, context=forward.replayer.context, score=forward.score)
        importance = forward.by_token(torch.cat(values)).float().cpu().numpy()
        return Attribution(importance, in_force(s, forward.replayer), grid=forward.replayer.grid)


def _values(attr: Any, forward: MaskedForward, s: IntegratedGradientsSettings, part: slice) -> Tensor:
    """[positions of the part, columns]."""
    rows = len(range(forward.positions)[part])
    ones = torch.ones(1, rows, len(forward.groups), device=forward.device)

    def total(masks: Tensor) -> Tensor:
        return forward.scores(masks, part).sum(1)

    found: Tensor = attr.IntegratedGradients(total).attribute(
        ones, baselines=torch.zeros_like(ones), n_steps=s.steps, internal_batch_size=s.batch)
    return found[0].detach()


@hookimpl
def xattnmask_method() -> Method:
    """Integrated gradients."""
    return IntegratedGradients()
