"""A target for the size of a learned mask: the weight of its L1 norm, adapted until the mask's mean is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Literal

from torch import Tensor

from ..errors import SettingError

TargetSize = float | Literal["auto"]
PROPORTIONAL, INTEGRAL, DERIVATIVE = 4.0, 0.2, 15.0
"""How alpha answers a mask that is e times too large: as long as it is, for good, and while it is becoming so."""
LIMIT = 2.0
"""A size that is off by more powers of e than this is answered as if by so many."""
NEAR = 0.05
"""What share of the target a size that has reached it may be off."""


class AdaptiveAlpha:
    """The weight of the L1 norm as the Lagrange multiplier of ``mean(M) = target``, found by a PID controller.

    Plain dual ascent (the integral alone) overshoots where a mask follows late (Stooke et al., 2020, *Responsive safety
    in reinforcement learning by PID Lagrangian methods*). With d = log(size / target) after each step,

        alpha = unit (INTEGRAL sum(d) + PROPORTIONAL d + DERIVATIVE (d - d of the step before))

    It has the unit of a loss by token: at 1 unit, reading all tokens costs as much as reading none loses. Below 0 it
    rewards a mask for its size, where the loss alone would have a smaller one than the target.

    Args:
        target: the mean of the mask, above 0.
        unit: the mean loss of an empty mask at a position, over the number of tokens.
    """

    alpha: float = 0.0
    """The weight of the next step; it begins at 0, whatever weight would suit a model."""

    def __init__(self, target: float, unit: float) -> None:
        self.target, self._unit, self._integral = target, unit, 0.0
        self._before: float | None = None

    def update(self, size: float) -> None:
        """Answer the size of the mask of the step that was made under ``alpha``."""
        off = min(max(math.log(max(size, 1e-9) / self.target), -LIMIT), LIMIT)
        grown = 0.0 if self._before is None else off - self._before
        self._integral, self._before = self._integral + INTEGRAL * off, off
        self.alpha = self._unit * (self._integral + PROPORTIONAL * off + DERIVATIVE * grown)

    def reached(self, sizes: Sequence[float]) -> int:
        """For how many steps, the last ones, the mask has been near its target."""
        return sum(1 for _ in takewhile(lambda size: abs(size - self.target) <= NEAR * self.target, reversed(sizes)))


def check_target_size(value: Any) -> None:
    """Raise SettingError unless ``value`` is a size that a mask can have, ``auto``, or None."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1
    if value is not None and not number and not (isinstance(value, str) and value == "auto"):
        raise SettingError(f"target_size must be a number above 0 and below 1, or auto, not {value!r}")


NOTICED = 0.01
"""What share of the largest effect a word must have by itself in a cell that counts for the target ``auto``."""


def share_above(effects: Tensor, share: float) -> float:
    """The share of cells [positions, tokens] with at least ``share`` of the largest effect; never none, never all."""
    found, least = (effects >= share * effects.max()).float().mean().item(), 1 / effects.numel()
    return min(max(found, least), 1 - least)
