"""Mean cross-attention: how much each position looks at each token, the plainest baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..patching import Layers
from ..plugins.hookspecs import hookimpl
from ..replaying import View, build_replayer, in_force
from .base import Attribution, Method, OnStep
from .settings import settings_of


@dataclass(frozen=True)
class AttentionSettings(View):
    """``layers``: which sites are averaged, as in :func:`xattnmask.patch`."""

    layers: Layers = "all"


class MeanAttention(Method):
    """The mean of the attention probabilities over sites and heads."""

    name: ClassVar[str] = "attention"

    def steps(self, **settings: Any) -> int:
        settings_of(AttentionSettings, self.name, settings)
        return 1

    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        chosen = settings_of(AttentionSettings, self.name, settings)
        replayer = build_replayer(model, generation, chosen, context="joint", layers=chosen.layers)
        attention = replayer.attention()
        on_step(StepEvent(0, 1, {}))
        return Attribution(attention.cpu().numpy(), in_force(chosen, replayer), grid=replayer.grid)


@hookimpl
def xattnmask_method() -> Method:
    """Mean cross-attention."""
    return MeanAttention()
