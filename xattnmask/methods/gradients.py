"""What methods of attention and gradient share: both by site, for each position's own advance towards its state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..objective import advance
from ..patching import Layers, Traced, TraceProbabilities
from ..replaying import (
    Context,
    Replayer,
    StepReplayer,
    View,
    build_replayer,
    check_choice,
    frozen_weights,
    in_force,
    sites_reading_tokens,
)
from .base import Attribution, Method, OnStep
from .settings import settings_of

ByPosition: TypeAlias = Callable[[Tensor], Tensor]
"""From what the queries of a site hold, [n, queries, k], to positions [positions, k]."""

CONTEXTS = ("none", "frozen", "joint")


@dataclass(frozen=True)
class GradientSettings(View):
    """Settings of methods of attention and gradient.

    Attributes:
        context: what an autoregressive position sees of its past; by default ``frozen`` where the model can, else
            ``joint``. Under ``none`` and ``frozen`` no position reaches another, so that one backward gives each its
            own gradient; under ``joint`` the gradient at a position is that of its own and all later states.
        layers: which of the sites where audio reads text, as in :func:`xattnmask.patch`.
    """

    context: Context | None = None
    layers: Layers = "all"

    def __post_init__(self) -> None:
        if self.context is not None:
            check_choice("context", self.context, CONTEXTS)


class GradientMethod(Method):
    """Differentiates the advance of all states (:func:`xattnmask.objective.advance`) by the attention on tokens."""

    settings: ClassVar[type[GradientSettings]] = GradientSettings

    def steps(self, **settings: Any) -> int:
        settings_of(self.settings, self.name, settings)
        return 1

    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        s = settings_of(self.settings, self.name, settings)
        with torch.inference_mode(False), frozen_weights(model):
            replayer = build_replayer(model, generation, s, context=s.context)
            found = self._attribute(replayer, s)
        on_step(StepEvent(0, 1, {}))
        s = replace(s, context=replayer.context)
        return Attribution(found.float().cpu().numpy(), in_force(s, replayer), grid=replayer.grid)

    @abstractmethod
    def reduce(self, attention: Tensor, gradient: Tensor, by_position: ByPosition) -> Tensor:
        """Importance [positions, tokens] by one site, from its attention and the gradient by it, each [n, H, T, L]."""

    def _attribute(self, replayer: Replayer | StepReplayer, settings: GradientSettings) -> Tensor:
        """The mean over sites, [positions, tokens]."""
        sites = sites_reading_tokens(replayer.model, replayer.num_tokens, settings.layers, replayer.streams)
        target, blank = replayer.clean(history=replayer.context != "none"), replayer.blank()
        seen: list[Traced] = []
        parts: list[Tensor] = []

        def differentiate(part: slice, states: Tensor) -> None:
            score = advance(states, target[part], blank[part]).sum()
            wanted = [traced.probabilities for traced in seen]
            gradients = torch.autograd.grad(score, wanted, allow_unused=True, materialize_grads=True)
            by_site = [self._reduced(replayer, *pair) for pair in zip(seen, gradients, strict=True)]
            parts.append(torch.stack(by_site).mean(0))
            seen.clear()

        trace = TraceProbabilities(seen.append)
        with torch.enable_grad():
            replayer.watched([(site, trace) for site in sites], differentiate)
        return torch.cat(parts)

    def _reduced(self, replayer: Replayer | StepReplayer, traced: Traced, gradient: Tensor) -> Tensor:
        attention, gradient = traced.on_tokens(traced.probabilities), traced.on_tokens(gradient)
        return self.reduce(attention, gradient, lambda values: replayer.by_position(traced.site, values))
