"""An intervention of its own for each denoising step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ..errors import SettingError
from .call import AttentionCall
from .interventions import Intervention


class ByStep:
    """Hands each call to the intervention of the denoising step under way, or of the nearest one that has one.

    Args:
        steps: the steps that have one, ascending.
        interventions: one for each of them.
        current: tells the step under way.
    """

    def __init__(self, steps: Sequence[int], interventions: Sequence[Intervention], current: Callable[[], int]) -> None:
        self.steps, self.interventions, self.current = [int(s) for s in steps], interventions, current
        if not self.steps or self.steps != sorted(set(self.steps)) or self.steps[0] < 0:
            raise SettingError(f"steps must be counted from 0 and ascend, not {self.steps}")

    def __call__(self, call: AttentionCall) -> Tensor:
        now = self.current()
        nearest = min(range(len(self.steps)), key=lambda i: abs(self.steps[i] - now))
        return self.interventions[nearest](call)
