"""Attention times gradient: what a position attends, as far as attending it more would help (Chefer et al., 2021)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ..plugins.hookspecs import hookimpl
from .base import Method
from .gradients import ByPosition, GradientMethod


class AttentionGradient(GradientMethod):
    """The positive part of attention times gradient, mean over heads, then over sites (arXiv 2103.15679, equation 5).

    Chefer et al. then carry relevance through self-attention from layer to layer. Where the past is held, as by
    default, a position has no other one to carry it from.
    """

    name: ClassVar[str] = "attention-gradient"

    def reduce(self, attention: Tensor, gradient: Tensor, by_position: ByPosition) -> Tensor:
        return by_position((attention * gradient).clamp_min(0).mean(1))


@hookimpl
def xattnmask_method() -> Method:
    """Attention times gradient."""
    return AttentionGradient()
