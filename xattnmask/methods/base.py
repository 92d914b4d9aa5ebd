"""The contract of an attribution method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..replaying.grid import Grid

OnStep = Callable[[StepEvent], None]


@dataclass(frozen=True)
class Attribution:
    """What a method found.

    Attributes:
        importance: float32 [positions, tokens], the higher the more a token matters at a position.
        settings: all settings that were in force, defaults included, JSON-able.
        losses: curves by name (``total``, ``factual``, ``counterfactual``, ``size``, and ``alpha`` where it is
            adapted), one value a step; empty for methods that optimise nothing.
        converged: whether the optimisation settled; None where that means nothing.
        grid: for a diffusion model, which denoising step and stretch of audio each position is.
    """

    importance: np.ndarray
    settings: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, Sequence[float]] = field(default_factory=dict)
    converged: bool | None = None
    grid: Grid | None = None


class Method(ABC):
    """An attribution method; must not depend on the kind of backbone beyond the adapter contract."""

    name: ClassVar[str]

    @abstractmethod
    def steps(self, **settings: Any) -> int:
        """How many steps :meth:`attribute` takes at most with these settings, for progress bars."""

    @abstractmethod
    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        """Attribute ``generation`` to the tokens of its prompt; an unknown setting raises SettingError."""
