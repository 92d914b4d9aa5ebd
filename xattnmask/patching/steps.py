"""An intervention of its own for each denoising step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from .call import AttentionCall
from .interventions import Intervention


class ByStep:
    """Hands each call to the intervention in force, as ``current`` tells which of them it is."""

    def __init__(self, interventions: Sequence[Intervention], current: Callable[[], int]) -> None:
        self.interventions, self.current = interventions, current

    def __call__(self, call: AttentionCall) -> Tensor:
        return self.interventions[self.current()](call)
