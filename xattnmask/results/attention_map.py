"""Attention on each token over the plane of time and frequency, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from . import checks
from .numbers import compact


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """How much of its attention a model of spectrograms gives each token, by time and frequency.

    The diffusion attentive attribution map of Tang et al. (2022, section 2.2), with the mean where they have the sum:
    over denoising steps, sites and heads, each site's map brought to the size of the latents.

    Attributes:
        values: float32 [L, T, F], 0 or above.
        times: float64 [T + 1], edges in seconds. They are those of the latents' columns, not an explanation's frames.
        hertz: float64 [F + 1], edges in Hz, from low to high.
    """

    values: npt.NDArray[np.float32] = field(repr=False)
    times: npt.NDArray[np.float64] = field(repr=False)
    hertz: npt.NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        times, hertz = checks.edges("times", self.times), checks.edges("hertz", self.hertz)
        values = checks.volume("values", self.values, (len(times) - 1, len(hertz) - 1))
        if values.min() < 0:
            raise SettingError("attention is 0 or above")
        for name, value in (("values", values), ("times", times), ("hertz", hertz)):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AttentionMap):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in ("values", "times", "hertz"))

    def between(self, start: float, end: float) -> AttentionMap:
        """The columns that overlap ``start`` to ``end`` seconds; at least one."""
        first = min(int(np.searchsorted(self.times, start + 1e-6, "right")) - 1, len(self.times) - 2)
        last = max(int(np.searchsorted(self.times, end - 1e-6, "left")), first + 1)
        return AttentionMap(self.values[:, first:last], self.times[first : last + 1], self.hertz)

    def as_dict(self) -> dict[str, Any]:
        """As ``explanation.json`` holds it."""
        return {"times": self.times.tolist(), "hertz": self.hertz.tolist(), "values": compact(self.values)}

    @classmethod
    def of(cls, value: Any, tokens: int) -> AttentionMap:
        """``value``, or what :meth:`as_dict` made of one; raises SettingError unless it has so many tokens."""
        if isinstance(value, Mapping) and value.keys() == {"times", "hertz", "values"}:
            value = cls(**value)
        if not isinstance(value, cls):
            raise SettingError("attention_map must be an AttentionMap")
        if len(value.values) != tokens:
            raise SettingError(f"attention_map has {len(value.values)} tokens, and there are {tokens}")
        return value
