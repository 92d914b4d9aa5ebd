"""Shapley values of the prompt's words, by sampling orders in which they come in (Captum's ShapleyValueSampling)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..plugins.hookspecs import hookimpl
from ..replaying import in_force
from .base import Attribution, Method, OnStep
from .forward import MaskedForward
from .on_captum import CaptumSettings, captum, forward_of
from .settings import check_whole, settings_of


@dataclass(frozen=True)
class ShapleySettings(CaptumSettings):
    """As :class:`CaptumSettings`; ``orders``: how many random orders of the words are averaged."""

    orders: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("orders", self.orders, 1)


class Shapley(Method):
    """Each word's mean gain of score over orders in which the words come in, at each position.

    At each position the values of all words sum to the score of the whole prompt less that without its words
    (efficiency), whatever the number of orders. Tokens of no word always stay, and have 0.
    """

    name: ClassVar[str] = "shapley"

    def steps(self, **settings: Any) -> int:
        settings_of(ShapleySettings, self.name, settings)
        return 1

    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        attr, s = captum(), settings_of(ShapleySettings, self.name, settings)
        forward = forward_of(model, generation, s, s.context or "joint")
        values = self._values(attr, forward, s, seed, on_step)
        s = replace(s, context=forward.replayer.context, score=forward.score)
        importance = forward.by_token(values.to(forward.device)).float().cpu().numpy()
        return Attribution(importance, in_force(s, forward.replayer), grid=forward.replayer.grid)

    def _values(self, attr: Any, forward: MaskedForward, s: ShapleySettings, seed: int, on_step: OnStep) -> Tensor:
        """[positions, columns]; Captum draws orders from torch's own generator, which is given back as it was."""
        ones, calls = torch.ones(1, len(forward.groups)), count()
        total = 1 + s.orders * -(-len(forward.groups) // s.batch)

        def scores(masks: Tensor) -> Tensor:
            found = forward.scores(masks).cpu()
            on_step(StepEvent(next(calls), total, {}))
            return found

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            found: Tensor = attr.ShapleyValueSampling(scores).attribute(
                ones, baselines=torch.zeros_like(ones), n_samples=s.orders, perturbations_per_eval=s.batch)
        return found[0]


@hookimpl
def xattnmask_method() -> Method:
    """Shapley values."""
    return Shapley()
