"""Attention summed over the plane of time and frequency, while a model runs."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from ..sites import Site


class PlaneSum:
    """Takes attention as :func:`xattnmask.capture_attention` hands it out, and brings it onto one plane.

    Each site's map is brought to the plane's size by bicubic interpolation, and what that makes negative is 0, as Tang
    et al. (2022) do. Sites whose queries lie in no such plane are left out.

    Args:
        frames, bands: the plane's size along time and frequency.
    """

    def __init__(self, frames: int, bands: int) -> None:
        self.size = (frames, bands)
        self._total: Tensor | None = None
        self._count = 0

    def __call__(self, site: Site, probabilities: Tensor) -> None:
        """Add ``probabilities`` [rows, heads, queries, tokens] of one call of ``site``."""
        if site.plane is None:
            return
        rows, heads, queries, _ = probabilities.shape
        total = probabilities.detach().float().sum((0, 1)).T  # [tokens, queries]
        maps = total.reshape(1, len(total), *site.plane(queries))
        whole = interpolate(maps, size=self.size, mode="bicubic", align_corners=False).clamp_min(0)[0]
        self._total = whole if self._total is None else self._total + whole
        self._count += rows * heads

    def mean(self) -> Tensor | None:
        """The mean over all that was added, float32 [tokens, frames, bands]; None if that was nothing."""
        return None if self._total is None else self._total / self._count
