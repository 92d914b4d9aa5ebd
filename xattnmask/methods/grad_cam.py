"""Grad-CAM on cross-attention: heads weighed by their mean gradient, as feature maps are (Selvaraju et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..patching import Layers
from ..plugins.hookspecs import hookimpl
from .base import Method
from .gradients import ByPosition, GradientMethod, GradientSettings


@dataclass(frozen=True)
class GradCamSettings(GradientSettings):
    """As :class:`GradientSettings`; the last third of the layers by default, as Grad-CAM looks at the last maps."""

    layers: Layers = "last"


class GradCam(GradientMethod):
    """ReLU of the sum over heads of attention, each weighed by its gradient's mean over tokens; mean over sites.

    The heads stand for Grad-CAM's channels and the tokens for its places (arXiv 1610.02391, equations 1 and 2), as in
    the baseline of that name that Chefer et al. compare with (arXiv 2103.15679).
    """

    name: ClassVar[str] = "grad-cam"
    settings: ClassVar[type[GradientSettings]] = GradCamSettings

    def reduce(self, attention: Tensor, gradient: Tensor, by_position: ByPosition) -> Tensor:
        weight = by_position(gradient.mean(-1).transpose(1, 2))  # [positions, H]
        heads, tokens = attention.shape[1], attention.shape[-1]
        maps = by_position(attention.transpose(1, 2).flatten(2)).reshape(-1, heads, tokens)
        found: Tensor = (weight[:, :, None] * maps).sum(1).clamp_min(0)
        return found


@hookimpl
def xattnmask_method() -> Method:
    """Grad-CAM."""
    return GradCam()
