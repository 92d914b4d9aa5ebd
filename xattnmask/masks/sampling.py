"""From logits to a mask in [0, 1]: as it is, or sampled by a two-way Gumbel-softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import SettingError

Sampling = Literal["none", "soft", "hard"]
SAMPLINGS = ("none", "soft", "hard")


@dataclass(frozen=True)
class Temperature:
    """A temperature that goes geometrically from ``start`` to ``end`` over an optimisation."""

    start: float = 1.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.start < float("inf") and 0 < self.end < float("inf")):
            raise SettingError(f"temperatures must be above 0, not {self.start:g} and {self.end:g}")

    def at(self, step: int, steps: int) -> float:
        """The temperature of ``step`` (from 0) out of ``steps``."""
        progress = step / max(1, steps - 1)
        return float(self.start * (self.end / self.start) ** progress)


def probabilities(logits: Tensor, sampling: Sampling, temperature: float) -> Tensor:
    """The mask without noise. Noise keeps a token with probability sigmoid(logit), whatever the temperature."""
    return torch.sigmoid(logits / temperature if sampling == "none" else logits)


def sample(logits: Tensor, sampling: Sampling, temperature: float, generator: torch.Generator) -> Tensor:
    """A mask of the shape of ``logits``, differentiable in them.

    ``none`` is the sigmoid of the logits divided by the temperature. ``soft`` adds Gumbel noise to the two choices,
    keep and drop, and divides by the temperature (Jang et al., 2017); of two choices the softmax is a sigmoid of the
    difference. ``hard`` rounds that to 0 or 1 and passes the gradient of ``soft`` straight through.
    """
    if sampling == "none":
        return probabilities(logits, sampling, temperature)
    if sampling not in SAMPLINGS:
        raise SettingError(f"sampling must be one of {', '.join(SAMPLINGS)}, not {sampling!r}")
    soft = torch.sigmoid((logits + _gumbel(logits, generator) - _gumbel(logits, generator)) / temperature)
    return soft if sampling == "soft" else soft + (soft.round() - soft).detach()


def _gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(like.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    return -torch.log(-torch.log(uniform)).to(like.device)
