"""Random importance: what any method has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..plugins.hookspecs import hookimpl
from ..replaying import View, build_replayer, in_force
from .base import Attribution, Method, OnStep
from .one_by_one import groups_of
from .settings import settings_of


@dataclass(frozen=True)
class RandomSettings(View):
    """It has none but those of what is replayed."""


class Random(Method):
    """Uniform numbers from 0 to 1, one for each position and word; all tokens of a word have the same."""

    name: ClassVar[str] = "random"

    def steps(self, **settings: Any) -> int:
        settings_of(RandomSettings, self.name, settings)
        return 1

    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        chosen = settings_of(RandomSettings, self.name, settings)
        replayer = build_replayer(model, generation, chosen, context="joint")
        groups = groups_of(generation, "word")
        drawn = np.random.default_rng(seed).random((replayer.positions, len(groups)), dtype=np.float32)
        importance = np.zeros((replayer.positions, replayer.num_tokens), np.float32)
        for column, group in zip(drawn.T, groups, strict=True):
            importance[:, list(group)] = column[:, None]
        on_step(StepEvent(0, 1, {}))
        return Attribution(importance, in_force(chosen, replayer), grid=replayer.grid)


@hookimpl
def xattnmask_method() -> Method:
    """Random importance."""
    return Random()
